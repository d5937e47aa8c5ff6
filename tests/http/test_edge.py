"""Promises on the wire, on a real server: refusals are heard, broken bodies are the client's, slow ones are told."""

import asyncio
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from adapters.memory.surroundings import InMemoryObjectStore, InProcessPhotoProcessor
from adapters.memory.unit_of_work import InMemoryUnitOfWork
from application.authenticate import DEFAULT_ACCOUNT
from entrypoints.http import edge, request_parts
from entrypoints.http.app import create_app
from entrypoints.wiring.container import Container
from entrypoints.wiring.settings import Settings
from tests.builders import MovableClock
from tests.free_port import free_port
from tests.http.conftest import API, Service, a_jpeg, account_with_key, an_in_process_processor
from tests.live_server import serving
from tests.patience import PATIENCE_SECONDS, wait_until

UPLOAD = f"POST {API}/images/upload HTTP/1.1\r\nhost: a\r\ncontent-type: multipart/form-data; boundary=b\r\n"
MB = 1024 * 1024


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[int, str]]:
    """A server on a port of its own and a key for it."""
    settings = Settings(
        data_dir=Path(tmp_path_factory.mktemp("data")), public_url="http://photos.test", generations_at_once=0
    )
    container = Container(
        settings=settings,
        clock=MovableClock(),
        objects=InMemoryObjectStore(),
        work=InMemoryUnitOfWork(),
        processor=an_in_process_processor(),
    )
    key = asyncio.run(account_with_key(container, DEFAULT_ACCOUNT))
    port = free_port()
    with serving(create_app(container), port):
        yield port, key


def connected(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), PATIENCE_SECONDS)


def answer_to(port: int, *pieces: bytes, half_close: bool = False, answers: int = 1) -> bytes:
    """So many answers, each with a JSON object; or what comes until the server closes."""
    with connected(port) as connection:
        for piece in pieces:
            connection.sendall(piece)
        if half_close:
            connection.shutdown(socket.SHUT_WR)
        return read_answers(connection, answers)


def read_answers(connection: socket.socket, answers: int = 1) -> bytes:
    received = b""
    while received.count(b"HTTP/1.1 ") < answers or not received.endswith(b"}"):
        if not (piece := connection.recv(65536)):
            break
        received += piece
    return received


def upload_head(key: str, *lines: str) -> bytes:
    return (UPLOAD + f"x-api-key: {key}\r\n" + "".join(f"{line}\r\n" for line in lines) + "\r\n").encode()


def test_a_client_that_sends_all_before_it_reads_hears_the_refusal(live: tuple[int, str]) -> None:
    port, _ = live
    answer = answer_to(port, upload_head("gk_a_wrong", f"content-length: {12 * MB}"), bytes(12 * MB))
    assert answer.startswith(b"HTTP/1.1 401 ")
    assert b'"code":"INVALID_API_KEY"' in answer


def test_the_connection_of_a_refused_upload_goes_on_to_be_used(live: tuple[int, str]) -> None:
    port, key = live
    answer = answer_to(
        port,
        upload_head("gk_a_wrong", f"content-length: {4 * MB}"),
        bytes(4 * MB),
        f"GET {API}/images/none HTTP/1.1\r\nhost: a\r\nx-api-key: {key}\r\n\r\n".encode(),
        answers=2,
    )
    assert answer.count(b"HTTP/1.1 ") == 2
    assert b"IMAGE_NOT_FOUND" in answer


def test_a_body_that_never_ends_is_read_for_a_while_only(
    live: tuple[int, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(edge, "MAX_DISCARD_SECONDS", 0.3)
    port, _ = live
    with connected(port) as connection:
        connection.sendall(upload_head("gk_a_wrong", f"content-length: {10 * MB}") + b"some")
        began = time.monotonic()
        while connection.recv(65536):
            pass
        assert time.monotonic() - began > 0.2


def test_a_client_that_asks_before_it_sends_is_answered_at_once(live: tuple[int, str]) -> None:
    port, _ = live
    with connected(port) as connection:
        connection.sendall(upload_head("gk_a_wrong", f"content-length: {MB}", "expect: 100-continue"))
        assert read_answers(connection).startswith(b"HTTP/1.1 401 ")


def test_a_slow_client_hears_the_refusal(live: tuple[int, str]) -> None:
    port, _ = live
    pieces = [bytes(50_000)] * 10
    with connected(port) as connection:
        connection.sendall(upload_head("gk_a_wrong", f"content-length: {sum(map(len, pieces))}"))
        for piece in pieces:
            time.sleep(0.03)
            connection.sendall(piece)
        assert b"INVALID_API_KEY" in read_answers(connection)


@pytest.mark.parametrize("is_known", [True, False], ids=["read", "thrown away"])
def test_a_body_in_tiny_pieces_is_read_at_a_pace(live: tuple[int, str], is_known: bool) -> None:
    """However small it is, a piece costs the others the same time."""
    port, key = live
    pieces = 600
    began = time.monotonic()
    with connected(port) as connection:
        form = "content-type: multipart/form-data; boundary=part"
        connection.sendall(upload_head(key if is_known else "gk_a_wrong", "transfer-encoding: chunked", form))
        connection.sendall(b"1\r\nx\r\n" * pieces + b"0\r\n\r\n")
        read_answers(connection)
    assert time.monotonic() - began > pieces * edge.SMALL_SECONDS


def test_no_more_than_so_many_bytes_are_thrown_away(live: tuple[int, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(edge, "MAX_DISCARDED_BYTES", MB)
    port, _ = live
    with connected(port) as connection:
        connection.sendall(upload_head("gk_a_wrong", f"content-length: {400 * MB}"))
        with pytest.raises((BrokenPipeError, ConnectionResetError)):
            connection.sendall(bytes(400 * MB))


CHUNKED = "transfer-encoding: chunked"
BROKEN = {
    "bad size": (CHUNKED, b"zz\r\nabc"),
    "negative size": (CHUNKED, b"-1\r\nabc"),
    "huge size line": (CHUNKED, b"1" * 100_000 + b"\r\nabc"),
    "1 MB extension": (CHUNKED, b"1;" + b"a" * MB + b"\r\nabc"),
    "cut short": (CHUNKED, b"10\r\nabc"),
    "a longer length": ("content-length: 100", b"abc"),
    "no last chunk": (CHUNKED, b"3\r\nabc\r\n"),
}


@pytest.mark.parametrize("broken", BROKEN)
def test_a_body_that_breaks_off_is_not_our_bug(live: tuple[int, str], broken: str) -> None:
    port, key = live
    header, body = BROKEN[broken]
    answer = answer_to(port, upload_head(key, header), body, half_close=True)
    assert answer.startswith(b"HTTP/1.1 400 "), answer
    assert b'"code":"VALIDATION_FAILED"' in answer
    assert b'"path":"body"' in answer


def test_a_body_slower_than_the_lowest_rate_is_told_so(live: tuple[int, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(request_parts, "WINDOW_SECONDS", 0.5)
    port, key = live
    answer = answer_to(port, upload_head(key, f"content-length: {MB}"), b"--b\r\n")
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b'"code":"REQUEST_TIMEOUT"' in answer


def test_slow_but_steady_is_fine(live: tuple[int, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(request_parts, "WINDOW_SECONDS", 4)  # 16 KB in each
    port, key = live
    body = (
        b'--b\r\ncontent-disposition: form-data; name="file"; filename="a.jpg"\r\n\r\n'
        + a_jpeg()
        + bytes(68_000)
        + b"\r\n--b--\r\n"
    )
    head = upload_head(key, f"content-length: {len(body)}")
    with connected(port) as connection:
        connection.sendall(head)
        for at in range(0, len(body), 17_000):
            connection.sendall(body[at : at + 17_000])
            time.sleep(1.5)  # all of it takes longer than a window
        assert connection.recv(65536).startswith(b"HTTP/1.1 201 ")


def test_who_hangs_up_while_the_photo_is_prepared_leaves_nothing_behind(tmp_path: Path) -> None:
    began, goes_on = threading.Event(), threading.Event()

    class Slow(InProcessPhotoProcessor):
        async def prepare(self, *arguments: Any, **options: Any) -> Any:
            began.set()
            await asyncio.to_thread(goes_on.wait, 2 * PATIENCE_SECONDS)
            return await super().prepare(*arguments, **options)

    objects, work = InMemoryObjectStore(), InMemoryUnitOfWork()
    settings = Settings(data_dir=tmp_path, public_url="http://photos.test", generations_at_once=0)
    container = Container(
        settings=settings,
        clock=MovableClock(),
        objects=objects,
        work=work,
        processor=Slow(an_in_process_processor()._prepare_photo),
    )
    key = asyncio.run(account_with_key(container, DEFAULT_ACCOUNT))
    photo = b'--b\r\ncontent-disposition: form-data; name="file"\r\n\r\n' + a_jpeg() + b"\r\n--b--\r\n"
    port = free_port()
    app = create_app(container)
    with serving(app, port) as url:
        with connected(port) as connection:
            connection.sendall(upload_head(key, f"content-length: {len(photo)}") + photo)
            assert began.wait(PATIENCE_SECONDS)
        wait_until(lambda: container.body_memory().bodies == 0)  # given up before the photo was ready
        goes_on.set()
        assert httpx.get(f"{url}/health/live").status_code == 200
    assert objects._objects == {}


@pytest.mark.parametrize("digits", [14, 4_400])
def test_a_date_of_thousands_of_digits_is_no_date(service: Service, digits: int) -> None:
    url = f"{API}/previews/img_1?account=a&signature=s&expires=" + "9" * digits
    assert service.client.get(url).json()["code"] == "IMAGE_NOT_FOUND"


def test_head_is_answered_wherever_get_is(service: Service) -> None:
    uploaded = service.upload().json()
    for url in (f"{API}/images/{uploaded['imageId']}", uploaded["imageUrl"], "/health/live", "/health/ready"):
        got = service.client.get(url, headers={"x-api-key": service.key})
        headed = service.client.head(url, headers={"x-api-key": service.key})
        assert (headed.status_code, headed.content) == (got.status_code, b"")
        assert headed.headers["content-length"] == got.headers["content-length"]
        assert headed.headers["content-type"] == got.headers["content-type"]
    assert service.client.head(f"{API}/images/upload").status_code == 405
    assert "HEAD" in service.client.options(f"{API}/images/some").headers["allow"]
    assert "HEAD" in service.client.post("/health/live").headers["allow"]


def test_no_cache_keeps_an_answer_and_no_browser_guesses_its_type(service: Service) -> None:
    key = {"x-api-key": service.key}
    for answer in (
        service.upload(),
        service.upload(keepForDays="2"),
        service.get("/images/none"),
        service.delete("/customers/nobody"),
        service.client.get(f"{API}/images/none"),
        service.client.get(f"{API}/nowhere", headers=key),
        service.client.put(f"{API}/images/upload", headers=key),
        service.client.get("/health/live"),
    ):
        assert answer.headers["cache-control"] == "no-store", answer.url
        assert answer.headers["x-content-type-options"] == "nosniff"


def test_a_page_may_read_what_a_link_shows_and_why_it_shows_nothing(service: Service) -> None:
    url = service.upload().json()["imageUrl"]
    for answer in (service.client.get(url), service.client.head(url), service.client.get(url + "0")):
        assert answer.headers["access-control-allow-origin"] == "*"
        assert "no-store" in answer.headers["cache-control"]


def error_of(answer: Any) -> tuple[str, str]:
    body = answer.json()
    assert body["requestId"] == answer.headers["x-request-id"]
    return body["code"], body["message"]


def test_every_error_names_its_request(service: Service) -> None:
    mine = {"x-api-key": service.key, "x-request-id": "my-own-request-1"}
    assert service.client.get(f"{API}/images/none", headers=mine).json()["requestId"] == "my-own-request-1"
    assert error_of(service.client.get(f"{API}/nowhere"))[0] == "NOT_FOUND"
    assert error_of(service.client.get(f"{API}/images/none"))[0] == "MISSING_API_KEY"


def test_a_key_in_the_wrong_header_gets_the_hint(service: Service) -> None:
    answer = service.client.get(f"{API}/images/none", headers={"authorization": f"Bearer {service.key}"})
    code, message = error_of(answer)
    assert code == "MISSING_API_KEY"
    assert "Authorization" in message
    assert "x-api-key" in message


@pytest.mark.parametrize("encoding", ["gzip", "br", "GZIP", "zstd", "deflate", "gzip, identity", "made-up"])
def test_a_compressed_body_is_refused_by_name(service: Service, encoding: str) -> None:
    headers = {"x-api-key": service.key, "content-encoding": encoding}
    for path in ("/images/upload", "/try-on"):
        answer = service.client.post(API + path, files={"file": ("a.jpg", a_jpeg())}, headers=headers)
        assert (answer.status_code, error_of(answer)[0]) == (415, "UNSUPPORTED_CONTENT_ENCODING")


@pytest.mark.parametrize("encoding", ["identity", "Identity", "", "aws-chunked"])
def test_a_body_that_is_not_compressed_may_say_so(service: Service, encoding: str) -> None:
    headers = {"x-api-key": service.key, "content-encoding": encoding}
    answer = service.client.post(f"{API}/images/upload", files={"file": ("a.jpg", a_jpeg())}, headers=headers)
    assert answer.status_code == 201
