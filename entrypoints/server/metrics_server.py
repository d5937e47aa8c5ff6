"""`/metrics` on a port of its own: a thread of the supervisor, which outlives every server process."""

import socket
import threading
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"
READ_SECONDS = 10


class _Metrics(BaseHTTPRequestHandler):
    timeout = READ_SECONDS  # for all of a request: who sends slowly holds a thread

    def do_GET(self) -> None:
        from adapters.telemetry.exposition import exposition  # noqa: PLC0415 - once the shared folder is named

        if self.path.partition("?")[0] != "/metrics":
            self.send_error(HTTPStatus.NOT_FOUND)
            return
        body = exposition()
        self.send_response(HTTPStatus.OK)
        self.send_header("content-type", MEDIA_TYPE)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Scrapes are not worth a line."""


class _OnIpv6(ThreadingHTTPServer):
    address_family = socket.AF_INET6


def serve_metrics(host: str, port: int) -> None:
    """Until this process ends. Raises: OSError when the port cannot be had."""
    server = (_OnIpv6 if ":" in host else ThreadingHTTPServer)((host.strip("[]"), port), _Metrics)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, name="metrics", daemon=True).start()
