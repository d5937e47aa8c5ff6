"""Bad clients: each kind is a coroutine that goes on until it is cancelled; they run in processes of their own."""

import asyncio
import io
import json
import multiprocessing
import os
import resource
import secrets
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from typing import Final

from PIL import Image

from tests.benchmarks.keep_alive import post_file

API: Final = "/tryon/v1"
MEGABYTE: Final = 1024 * 1024
MOST_SECONDS: Final = 600
"""However a benchmark ends, its clients do not outlive it for longer."""


@dataclass(frozen=True)
class Target:
    """A server, and what one account has there."""

    port: int
    key: str = ""
    image_id: str = ""


Client = Callable[[Target], Awaitable[None]]


class Gone(ConnectionError):
    """The server ended the connection."""


async def connect(target: Target) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection("127.0.0.1", target.port)


def head(target: Target, method: str, path: str, *headers: str) -> bytes:
    lines = (f"{method} {API}{path} HTTP/1.1", "host: localhost", f"x-api-key: {target.key}", *headers)
    return "\r\n".join((*lines, "", "")).encode()


async def answer_of(reader: asyncio.StreamReader) -> int:
    """The status of the next answer, which is read to its end."""
    lines = await reader.readuntil(b"\r\n\r\n")
    length = int(lines.lower().split(b"content-length:")[1].split(b"\r\n")[0])
    await reader.readexactly(length)
    return int(lines.split(b" ", 2)[1])


async def until_gone(reader: asyncio.StreamReader) -> None:
    while await reader.read(MEGABYTE):
        pass


async def drip(target: Target, beginning: bytes, piece: bytes, pause_seconds: float) -> None:
    """Send a beginning, then a little again and again until the server has had enough."""
    reader, writer = await connect(target)
    gone = asyncio.create_task(until_gone(reader))
    try:
        writer.write(beginning)
        while not gone.done():
            writer.write(piece)
            await writer.drain()
            await asyncio.wait({gone}, timeout=pause_seconds)
    finally:
        gone.cancel()
        writer.close()


FORM: Final = ("content-type: multipart/form-data; boundary=part",)
PART: Final = b'--part\r\ncontent-disposition: form-data; name="file"; filename="photo"\r\n\r\n'


async def trickled_body(target: Target) -> None:
    length = f"content-length: {4 * MEGABYTE}"
    await drip(target, head(target, "POST", "/images/upload", *FORM, length) + PART, b"x", 2)


async def endless_body(target: Target) -> None:
    beginning = head(target, "POST", "/images/upload", *FORM, "transfer-encoding: chunked")
    await drip(target, beginning + b"%x\r\n%s\r\n" % (len(PART), PART), b"10000\r\n" + bytes(65536) + b"\r\n", 0)


async def kept_connection(target: Target) -> None:
    reader, writer = await connect(target)
    writer.write(head(target, "GET", f"/images/{target.image_id}"))
    await until_gone(reader)
    writer.close()


async def again(target: Target, request: bytes) -> None:
    """One request after the other, without a pause."""
    reader, writer = await connect(target)
    try:
        while True:
            writer.write(request)
            await answer_of(reader)
    finally:
        writer.close()


async def beyond_its_rate(target: Target) -> None:
    await again(target, head(target, "GET", f"/images/{target.image_id}"))


async def no_route(target: Target) -> None:
    await again(target, head(target, "GET", "/nothing"))


async def post_json(target: Target, path: str, value: object) -> None:
    body = json.dumps(value).encode()
    reader, writer = await connect(target)
    with suppress(Exception):
        writer.write(
            head(target, "POST", path, "content-type: application/json", f"content-length: {len(body)}") + body
        )
        await answer_of(reader)
    writer.close()


async def dripping_source(target: Target) -> None:
    """A photo behind a URL of ours that comes a byte a second."""

    async def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 5000000\r\n\r\n")
            while not writer.is_closing():
                writer.write(b"x")
                await writer.drain()
                await asyncio.sleep(1)

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/photo.jpg"
    try:
        images = [{"source": {"url": f"{url}?{number}"}} for number in range(4)]
        person = {"image": {"source": {"url": url}}}
        await post_json(target, "/try-on", {"products": [{"images": images}], "person": person})
    finally:
        server.close()


async def product(target: Target) -> None:
    images = [{"source": {"id": target.image_id}}]
    await post_json(target, "/products", {"externalId": secrets.token_hex(8), "images": images})


async def try_on(target: Target) -> None:
    source = {"source": {"id": target.image_id}}
    await post_json(target, "/try-on", {"products": [{"images": [source]}], "person": {"image": source}})


@cache
def costly_photo() -> bytes:
    """63 megapixels in a few kilobytes."""
    out = io.BytesIO()
    Image.new("RGB", (9000, 7000), (120, 90, 60)).save(out, "WEBP", lossless=True, method=0)
    return out.getvalue()


async def costly_upload(target: Target) -> None:
    reader, writer = await connect(target)
    writer.write(post_file(f"{API}/images/upload", target.key, costly_photo()))
    await answer_of(reader)
    writer.close()


async def silent(target: Target) -> None:
    reader, writer = await connect(target)
    await until_gone(reader)
    writer.close()


async def slow_headers(target: Target) -> None:
    await drip(target, b"GET /health/live HTTP/1.1\r\n", b"x", 1)


async def wrong_keys(target: Target) -> None:
    """A guess a second."""
    reader, writer = await connect(target)
    try:
        while True:
            guess = Target(target.port, f"gk_{secrets.token_hex(6)}_{secrets.token_urlsafe(24)}")
            writer.write(head(guess, "GET", "/images/img_1"))
            await answer_of(reader)
            await asyncio.sleep(1)
    finally:
        writer.close()


async def header_flood(target: Target) -> None:
    await drip(target, b"GET /health/live HTTP/1.1\r\n", b"x-flood: " + b"y" * 4096 + b"\r\n", 0.01)


async def again_and_again(client: Client, target: Target) -> None:
    while True:
        with suppress(OSError, EOFError, asyncio.LimitOverrunError):
            await client(target)
        await asyncio.sleep(0.05)


async def _all_at_once(clients: dict[Client, int], target: Target) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(MOST_SECONDS):
            await asyncio.gather(
                *(again_and_again(client, target) for client, many in clients.items() for _ in range(many))
            )


def _run(clients: dict[Client, int], target: Target) -> None:
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    os.nice(10)  # clients elsewhere take no core from the server
    asyncio.run(_all_at_once(clients, target))


@contextmanager
def attacked(clients: dict[Client, int], target: Target) -> Iterator[None]:
    """So many clients of each kind, in a process beside this one, until the end of the block."""
    process = multiprocessing.get_context("spawn").Process(target=_run, args=(clients, target), daemon=True)
    process.start()
    try:
        yield
    finally:
        process.kill()
        process.join()
