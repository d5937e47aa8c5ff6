"""`/metrics` and probes on a port that no balancer leads to: a thread of the supervisor, which outlives all servers."""

import os
import random
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

MEDIA_TYPE = "text/plain; version=0.0.4"
READ_SECONDS = 10
HEALTH = frozenset({"/health/live", "/health/ready"})
HEALTH_SECONDS = 3
"""Longer than readiness may take, shorter than a probe waits."""
MAX_HEALTH_BYTES = 10_000
HEALTH_SOCKET = "health-"
MAX_SOCKET_CHARS = 103
"""Of macOS; Linux takes 107."""


class _Metrics(BaseHTTPRequestHandler):
    timeout = READ_SECONDS  # for all of a request: who sends slowly holds a thread
    folder: Path | None = None

    def do_GET(self) -> None:
        from adapters.telemetry.exposition import exposition  # noqa: PLC0415 - once the shared folder is named

        path = self.path.partition("?")[0]
        if path == "/metrics":
            self._answer(HTTPStatus.OK, f"{MEDIA_TYPE}; charset=utf-8", exposition())
        elif path in HEALTH:
            self._answer(*_health(self.folder, path))
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


def health_socket(folder: Path, process: int) -> Path:
    """Where a server process answers probes, and nobody else asks; it is there once the process is ready."""
    return folder / f"{HEALTH_SOCKET}{process}"


@contextmanager
def in_short(path: Path) -> Iterator[str]:
    """The path as a socket's address, which holds about a hundred characters however deep the folder is (unix(7))."""
    if len(os.fsencode(path)) <= MAX_SOCKET_CHARS:
        yield str(path)
        return
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)


class _OverSocket(HTTPConnection):
    """HTTP over a socket with a path."""

    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=HEALTH_SECONDS)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        with in_short(self._path) as address:
            self.sock.connect(address)


def _health(folder: Path | None, path: str) -> tuple[int, str, bytes]:
    """The answer of one of the servers, any of them; without servers, as in `tryon-images worker`, that it lives."""
    if folder is None:
        return HTTPStatus.OK, "application/json", b'{"status":"live"}'
    sockets = list(folder.glob(f"{HEALTH_SOCKET}*"))
    for each in random.sample(sockets, len(sockets)):
        connection = _OverSocket(each)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.headers.get_content_type(), answer.read(MAX_HEALTH_BYTES)
        except (ConnectionRefusedError, FileNotFoundError):
            continue  # of a process that is gone
        except (OSError, HTTPException):
            break
        finally:
            connection.close()
    return HTTPStatus.SERVICE_UNAVAILABLE, "application/json", b'{"status":"no answer"}'


class _OnIpv6(ThreadingHTTPServer):
    address_family = socket.AF_INET6


def serve_metrics(host: str, port: int, folder: Path | None = None) -> None:
    """Until this process ends; `folder`: where its servers answer probes. Raises: OSError: the port is taken."""
    handler = type("Metrics", (_Metrics,), {"folder": folder})
    server = (_OnIpv6 if ":" in host else ThreadingHTTPServer)((host.strip("[]"), port), handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, name="metrics", daemon=True).start()
