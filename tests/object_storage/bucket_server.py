"""A bucket that speaks Google's documented JSON API over HTTP, keeps its conditions, and fails when it is told to.

It answers as Google's storage-testbench does, which is no package: single deletes only when told so, 412 to a create
that had landed, 503 with and without a body, stalls, broken streams.
"""

import base64
import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes
from email.policy import HTTP
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import google_crc32c

from tests.patience import PATIENCE_SECONDS

BUCKET = "photos"
Answer = tuple[int, Any]
Fault = Callable[[Callable[[], Answer]], Answer]
"""Gets the operation that was asked for, may or may not run it, and answers."""


def unavailable_before(_operation: Callable[[], Answer]) -> Answer:
    return 503, {"error": {"code": 503, "message": "backend error"}}


def unavailable_after(operation: Callable[[], Answer]) -> Answer:
    operation()
    return 503, {"error": {"code": 503, "message": "backend error"}}


def forbidden(_operation: Callable[[], Answer]) -> Answer:
    return 403, {"error": {"code": 403, "message": "caller does not have storage.objects.create access"}}


def unavailable_without_a_word(_operation: Callable[[], Answer]) -> Answer:
    return 503, b""


def broken_off(operation: Callable[[], Answer]) -> Answer:
    """The stream ends in the middle of the answer."""
    status, content = operation()
    return status, Broken(content if isinstance(content, bytes) else json.dumps(content).encode())


def stalled(released: threading.Event) -> Fault:
    """Nothing comes until `released` is set."""

    def stall(operation: Callable[[], Answer]) -> Answer:
        released.wait(PATIENCE_SECONDS)
        return operation()

    return stall


def says(status: int, content: Any) -> Fault:
    """Like a proxy, or a server of another kind: whatever was asked for."""
    return lambda _operation: (status, content)


class Broken(bytes):
    """Half of it is sent."""


def flipped(operation: Callable[[], Answer]) -> Answer:
    status, content = operation()
    return status, bytes([content[0] ^ 1]) + content[1:]


@dataclass
class BucketState:
    """What the bucket holds, what it was asked, and what it will get wrong."""

    objects: dict[str, bytes] = field(default_factory=dict)
    metadata: dict[str, dict[str, Any]] = field(default_factory=dict)
    faults: list[tuple[str, Fault]] = field(default_factory=list)
    """Each is for the next request whose method and path begin this way."""
    requests: list[str] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)
    """How many deletions came in each batch."""
    exists: bool = True
    batch_answer: Answer | None = None
    """What a server that knows no batches says of them; storage-testbench: 501, fake-gcs-server: no parts."""
    settings: dict[str, Any] = field(default_factory=lambda: {"name": BUCKET, "metageneration": "1"})
    lock: Any = field(default_factory=threading.RLock)

    def fault_for(self, request: str) -> Fault | None:
        with self.lock:
            for index, (start, _fault) in enumerate(self.faults):
                if request.startswith(start):
                    return self.faults.pop(index)[1]
        return None

    def handle(self, method: str, target: str, headers: Any, body: bytes) -> Answer:
        path, query = urlsplit(target).path, parse_qs(urlsplit(target).query)
        self.requests.append(f"{method} {path}")
        fault = self.fault_for(f"{method} {path}")

        def operation() -> Answer:
            with self.lock:
                return self._operation(method, path, query, headers, body)

        return fault(operation) if fault else operation()

    def _operation(self, method: str, path: str, query: dict[str, list[str]], headers: Any, body: bytes) -> Answer:
        if path == "/batch/storage/v1":
            return self.batch_answer or (200, self._batch(headers, body))
        if not self.exists or not re.match(f"/(upload/|download/)?storage/v1/b/{BUCKET}(/|$)", path):
            return 404, {"error": {"code": 404, "message": "The specified bucket does not exist."}}
        if method == "POST":
            return self._create(query, headers, body)
        return self._on_object(method, path) if "/o/" in path else self._on_bucket(method, path, query, body)

    def _on_bucket(self, method: str, path: str, query: dict[str, list[str]], body: bytes) -> Answer:
        if path.endswith("/o"):
            return self._list(query)
        if path.endswith("/iam/testPermissions"):
            return 200, {"permissions": query["permissions"]}
        return self._set(query, json.loads(body)) if method == "PATCH" else (200, self.settings)

    def _set(self, query: dict[str, list[str]], fields: dict[str, Any]) -> Answer:
        if query.get("ifMetagenerationMatch", [self.settings["metageneration"]]) != [self.settings["metageneration"]]:
            return 412, {"error": {"code": 412, "message": "At least one pre-condition did not hold."}}
        self.settings |= fields | {"metageneration": str(int(self.settings["metageneration"]) + 1)}
        return 200, self.settings

    def _list(self, query: dict[str, list[str]]) -> Answer:
        names = sorted(name for name in self.objects if name.startswith(query.get("prefix", [""])[0]))
        start = query.get("startOffset", [""])[0]
        return 200, {"items": [{"name": name} for name in names if name >= start]}

    def _on_object(self, method: str, path: str) -> Answer:
        name = unquote(path.partition("/o/")[2])
        if name not in self.objects:
            return 404, {"error": {"code": 404, "message": f"No such object: {BUCKET}/{name}"}}
        if method == "DELETE":
            del self.objects[name]
            return 204, b""
        if path.startswith("/download/"):
            return 200, self.objects[name]
        return 200, {"name": name, "size": str(len(self.objects[name])), "crc32c": _crc32c(self.objects[name])}

    def _create(self, query: dict[str, list[str]], headers: Any, body: bytes) -> Answer:
        resource, media = _parts(headers["content-type"], body)
        about = json.loads(resource[1])
        if about["crc32c"] != _crc32c(media[1]):
            return 400, {"error": {"code": 400, "message": "Provided CRC32C does not match."}}
        if query.get("ifGenerationMatch") == ["0"] and about["name"] in self.objects:
            return 412, {"error": {"code": 412, "message": "At least one pre-condition did not hold."}}
        self.objects[about["name"]] = media[1]
        self.metadata[about["name"]] = {**about, "contentType": media[0]}
        return 200, about

    def _batch(self, headers: Any, body: bytes) -> bytes:
        answers = []
        parts = _parts(headers["content-type"], body)
        self.sizes.append(len(parts))
        for _kind, request in parts:
            method, target, _version = request.split(b"\r\n")[0].split(b"\n")[0].decode().split(" ")
            path = urlsplit(target).path
            fault = self.fault_for(f"{method} {path}")
            status, content = fault(lambda: (204, b"")) if fault else self._operation(method, path, {}, headers, b"")
            answers.append(
                f"--answers\r\nContent-Type: application/http\r\n\r\nHTTP/1.1 {status} X\r\n"
                f"Content-Type: application/json\r\n\r\n{json.dumps(content) if status >= 400 else ''}\r\n"
            )
        return ("".join(answers) + "--answers--").encode()


def _crc32c(data: bytes) -> str:
    return base64.b64encode(google_crc32c.value(data).to_bytes(4, "big")).decode()


def _parts(content_type: str, body: bytes) -> list[tuple[str, bytes]]:
    boundary = message_from_bytes(b"Content-Type: " + content_type.encode() + b"\n\n", policy=HTTP).get_boundary()
    parts = []
    for part in re.split(b"\r?\n?--" + re.escape(str(boundary).encode()), body)[1:-1]:
        head, _, content = part.lstrip(b"\r\n").replace(b"\r\n\r\n", b"\n\n", 1).partition(b"\n\n")
        kind = message_from_bytes(head + b"\n\n", policy=HTTP).get_content_type()
        parts.append((kind, content))
    return parts


@contextmanager
def bucket_server() -> Iterator[tuple[BucketState, str]]:
    """Yields: the bucket and the URL it answers at."""
    state = BucketState()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            status, content = state.handle(self.command, self.path, self.headers, body)
            data = content if isinstance(content, bytes) else json.dumps(content).encode()
            self.send_response(status)
            is_batch = self.path.startswith("/batch/")
            is_parts = is_batch and status == 200
            self.send_header("content-type", "multipart/mixed; boundary=answers" if is_parts else "application/json")
            if self.path.startswith("/download/") and status == 200:
                name = unquote(urlsplit(self.path).path.partition("/o/")[2])
                self.send_header("x-goog-hash", f"crc32c={_crc32c(state.objects[name])}")
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data[: len(data) // 2] if isinstance(data, Broken) else data)
            self.close_connection = self.close_connection or isinstance(data, Broken)

        do_GET = do_POST = do_DELETE = do_PATCH = answer  # noqa: N815 - the standard library's names

        def log_message(self, format: str, *arguments: Any) -> None:  # noqa: A002 - as above
            """Says nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield state, f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
