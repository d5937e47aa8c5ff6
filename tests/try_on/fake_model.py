"""A model server that speaks Vertex AI's `:predict` protocol, faults included."""

import base64
import contextlib
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True)
class Answer:
    status: int = 200
    body: bytes = b""
    delay_seconds: float = 0


def a_prediction(picture: bytes, mime_type: str = "image/jpeg") -> Answer:
    encoded = base64.b64encode(picture).decode()
    return predictions([{"mimeType": mime_type, "bytesBase64Encoded": encoded}])


def predictions(made: list[dict[str, Any]] | None) -> Answer:
    return Answer(body=json.dumps({} if made is None else {"predictions": made}).encode())


@dataclass
class FakeModel:
    """Gives its answers one after the other, and remembers what it was sent."""

    answers: list[Answer]
    url: str = ""
    paths: list[str] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    requests: list[Any] = field(default_factory=list)
    may_answer: threading.Event = field(default_factory=threading.Event)
    is_over: threading.Event = field(default_factory=threading.Event)


@contextlib.contextmanager
def running(*answers: Answer, may_answer: bool = True) -> Iterator[FakeModel]:
    model = FakeModel(list(answers))
    if may_answer:
        model.may_answer.set()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            model.paths.append(self.path)
            model.headers.append({name.lower(): value for name, value in self.headers.items()})
            body = self.rfile.read(int(self.headers["content-length"]))
            model.requests.append(json.loads(body) if body.startswith(b"{") else body)
            answer = model.answers.pop(0)
            model.may_answer.wait()
            model.is_over.wait(answer.delay_seconds)
            if answer.status == 0:
                return  # hang up without a word
            # OSError: whoever asked has given up waiting.
            with contextlib.suppress(OSError):
                self.send_response(answer.status)
                self.send_header("content-length", str(len(answer.body)))
                self.end_headers()
                self.wfile.write(answer.body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name in the standard library
            """Nothing on the terminal."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    model.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield model
    finally:
        model.is_over.set()
        model.may_answer.set()
        server.shutdown()
        thread.join()
        server.server_close()
