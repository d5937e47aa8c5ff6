"""As much of one request as keep-alive connections get out of a server, with a client that costs next to nothing."""

import asyncio
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from tests.benchmarks.server_process import Tree

SECONDS = 5.0


@dataclass(frozen=True)
class Load:
    """What a server answered, and how much of it for each second of its process tree's CPU."""

    per_second: float
    per_cpu_second: float


def get(path: str, key: str) -> bytes:
    """A request, ready to be sent."""
    return f"GET {path} HTTP/1.1\r\nhost: localhost\r\nx-api-key: {key}\r\n\r\n".encode()


def post_file(path: str, key: str, file: bytes) -> bytes:
    """A form whose only part is `file`, ready to be sent."""
    head = b'--part\r\ncontent-disposition: form-data; name="file"; filename="photo"\r\n\r\n'
    body = b"".join((head, file, b"\r\n--part--\r\n"))
    return (
        f"POST {path} HTTP/1.1\r\nhost: localhost\r\nx-api-key: {key}\r\n"
        f"content-type: multipart/form-data; boundary=part\r\ncontent-length: {len(body)}\r\n\r\n"
    ).encode() + body


async def load(server: Tree, request: bytes, connections: int, seconds: float = SECONDS) -> Load:
    """Every connection sends it again as soon as it is answered. Raises: AssertionError: an answer is no success."""
    stop = asyncio.Event()
    port = urlsplit(server.url).port

    async def connection() -> int:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        answered = 0
        while not stop.is_set():
            writer.write(request)
            await writer.drain()
            head = await reader.readuntil(b"\r\n\r\n")
            assert head.split(b" ", 2)[1].startswith(b"2"), head
            length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
            await reader.readexactly(length)
            answered += 1
        writer.close()
        return answered

    cpu, started = server.cpu_seconds(), time.perf_counter()
    running = [asyncio.create_task(connection()) for _ in range(connections)]
    await asyncio.sleep(seconds)
    stop.set()
    answered = sum(await asyncio.gather(*running))
    return Load(answered / (time.perf_counter() - started), answered / (server.cpu_seconds() - cpu))


def middle(loads: Sequence[Load]) -> Load:
    return Load(
        statistics.median(load.per_second for load in loads), statistics.median(load.per_cpu_second for load in loads)
    )
