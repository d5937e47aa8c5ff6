"""`/metrics` and probes on a port that no balancer leads to: a thread of the supervisor, which outlives all servers."""

import socket
import threading
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"
READ_SECONDS = 10
HEALTH = frozenset({"/health/live", "/health/ready"})
HEALTH_SECONDS = 3
"""Longer than readiness may take, shorter than a probe waits."""
MAX_HEALTH_BYTES = 10_000


class _Metrics(BaseHTTPRequestHandler):
    timeout = READ_SECONDS  # for all of a request: who sends slowly holds a thread
    own_url: str | None = None

    def do_GET(self) -> None:
        from adapters.telemetry.exposition import exposition  # noqa: PLC0415 - once the shared folder is named

        path = self.path.partition("?")[0]
        if path == "/metrics":
            self._answer(HTTPStatus.OK, MEDIA_TYPE, exposition())
        elif path in HEALTH:
            self._answer(*_health(self.own_url, path))
        else:
            self.send_error(HTTPStatus.NOT_FOUND)

    def _answer(self, status: int, media_type: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("content-type", media_type)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Scrapes and probes are not worth a line."""


def _health(own_url: str | None, path: str) -> tuple[int, str, bytes]:
    """The servers' own answer; without servers (`tryon-images worker`) that this process lives."""
    if own_url is None:
        return HTTPStatus.OK, "application/json", b'{"status":"live"}'
    address = urlsplit(own_url)
    connection = HTTPConnection(address.hostname or "", address.port, timeout=HEALTH_SECONDS)  # knows no proxy
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.headers.get_content_type(), answer.read(MAX_HEALTH_BYTES)
    except (OSError, HTTPException):
        return HTTPStatus.SERVICE_UNAVAILABLE, "application/json", b'{"status":"no answer"}'
    finally:
        connection.close()


class _OnIpv6(ThreadingHTTPServer):
    address_family = socket.AF_INET6


def serve_metrics(host: str, port: int, own_url: str | None = None) -> None:
    """Until this process ends; `own_url` is where its servers answer. Raises: OSError when the port cannot be had."""
    handler = type("Metrics", (_Metrics,), {"own_url": own_url})
    server = (_OnIpv6 if ":" in host else ThreadingHTTPServer)((host.strip("[]"), port), handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, name="metrics", daemon=True).start()
