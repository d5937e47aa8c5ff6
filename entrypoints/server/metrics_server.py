"""Metrics of all server processes: the folder they share, in memory if there is room, and a port where they are read.

A thread of the supervisor, which outlives all servers, answers there; no balancer leads to it. Probes are answered too.
"""

import fcntl
import os
import random
import shutil
import socket
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Final

import structlog

from adapters.sandbox import system
from adapters.telemetry import OWNER, SHARED_FOLDER
from entrypoints.server.logging import told

log = structlog.get_logger()
PREFIX: Final = "tryon-metrics-"
LOCK: Final = "lock"


def _temporary_folder() -> Path:
    try:
        return Path(tempfile.gettempdir())
    except OSError:  # none can be written to
        return Path(os.environ.get("TMPDIR", "/tmp"))  # noqa: S108


PLACES: Final = (Path("/dev/shm"), _temporary_folder())  # noqa: S108 - a folder of our own in it, randomly named
ROOM_BYTES: Final = 8 * 1024**2
"""Each server process takes 1.5 MB, and more only with thousands of series."""


@contextmanager
def metrics_folder(*places: Path) -> Iterator[Path]:
    """Make one in the first place that has room, or in the last; remove it at the end.

    It is named in the environment, before anything imports prometheus_client. What a killed supervisor left is removed
    too: its lock ended with the last of its processes.
    """
    for place in places:
        _sweep(place)
    place = next(filter(has_room, places), places[-1])
    folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=place))
    (folder / OWNER).write_text(str(os.getpid()))
    with (folder / LOCK).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        os.environ[SHARED_FOLDER] = str(folder)
        try:
            yield folder
        finally:
            del os.environ[SHARED_FOLDER]
            shutil.rmtree(folder, ignore_errors=True)


def has_room(place: Path) -> bool:
    """Whether the metrics of a few processes fit there; tried by taking the space and giving it back."""
    try:
        with tempfile.TemporaryFile(dir=place) as attempt:
            system.take_room(attempt.fileno(), ROOM_BYTES)
    except OSError:
        return False
    return True


def room_problem() -> str | None:
    """One line for an operator when there is no room in any of the places."""
    if any(map(has_room, PLACES)):
        return None
    names = " nor ".join(map(str, PLACES))
    return f"Neither {names} has {ROOM_BYTES // 1024**2} MiB for metrics. Free some, or mount more memory there."


def _sweep(place: Path) -> None:
    for lock_path in place.glob(f"{PREFIX}*/{LOCK}"):
        try:
            with lock_path.open("r+") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            continue  # in use, gone meanwhile, or another user's
        shutil.rmtree(lock_path.parent, ignore_errors=True)


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
    exposition: Callable[[], bytes]

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if path == "/metrics":
            self._answer(HTTPStatus.OK, f"{MEDIA_TYPE}; charset=utf-8", self.exposition())
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


def own_health_socket() -> Path | None:
    """Of this server process; None where no supervisor has made the folder for it."""
    folder = os.environ.get(SHARED_FOLDER)
    return None if folder is None else health_socket(Path(folder), os.getpid())


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


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, host: str, port: int, handler: type[_Metrics]) -> None:
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        super().__init__((host.strip("[]"), port), handler)

    def handle_error(self, *_: object) -> None:
        """A probe that only connects and leaves is not worth a line, and no traceback is one."""
        error = sys.exception()
        if error is not None and not isinstance(error, OSError):
            log.error("unhandled_error", **told(error))


def serve_metrics(host: str, port: int, folder: Path | None = None) -> None:
    """Until this process ends; `folder`: where its servers answer probes. Raises: OSError: the port is taken.

    The thread finds everything loaded: a server process that is forked while it imports something would wait for ever
    for the lock of that import.
    """
    from adapters.telemetry.exposition import exposition  # noqa: PLC0415 - once the shared folder is named

    handler = type("Metrics", (_Metrics,), {"folder": folder, "exposition": staticmethod(exposition)})
    server = _Server(host, port, handler)
    threading.Thread(target=server.serve_forever, name="metrics", daemon=True).start()
