"""Strangers' answers, read at a pace: a piece takes the same time however small it is, and they make them small."""

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from typing import Any, Final

import httpcore

from application.fair_shares import SMALL_BYTES

Read = Callable[[httpcore.AsyncNetworkStream, int, float | None], Awaitable[bytes]]
SMALL_SECONDS: Final = 0.005
"""Two hundred small ones a second of each connection; the time counts as the stranger's."""
HEAD_PIECE_BYTES: Final = 1024
MAX_HEAD_BYTES: Final = 16 * 1024
"""The parser takes a head, or any number of interim ones (`100 Continue`), without letting anybody else go on."""


async def pause_after(piece: bytes) -> None:
    """So long that small pieces cost nobody else anything."""
    if len(piece) < SMALL_BYTES:
        await asyncio.sleep(SMALL_SECONDS)


class UnhurriedBackend(httpcore.AnyIOBackend):
    """For httpcore, and for one connection."""

    def __init__(self) -> None:
        self._head_bytes = 0
        self._is_in_head = True

    async def connect_tcp(self, *arguments: Any, **named: Any) -> httpcore.AsyncNetworkStream:
        return _Unhurried(await super().connect_tcp(*arguments, **named), self.read)

    async def trace(self, event: str, _: object) -> None:
        """The request's extension by which httpcore tells how far it is."""
        if event == "http11.receive_response_headers.complete":
            self._is_in_head = False

    async def read(self, stream: httpcore.AsyncNetworkStream, max_bytes: int, seconds: float | None) -> bytes:
        """The next piece. Raises: httpcore.ReadError: the head is too long."""
        if self._head_bytes > MAX_HEAD_BYTES:
            raise httpcore.ReadError
        piece = await stream.read(HEAD_PIECE_BYTES if self._is_in_head else max_bytes, seconds)
        if self._is_in_head:
            self._head_bytes += len(piece)
        if piece:
            await pause_after(piece)
        return piece


class _Unhurried(httpcore.AsyncNetworkStream):
    def __init__(self, stream: httpcore.AsyncNetworkStream, read: Read) -> None:
        self._stream = stream
        self._read = read

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ASYNC109 - httpcore's
        return await self._read(self._stream, max_bytes, timeout)

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ASYNC109
        await self._stream.write(buffer, timeout)

    async def aclose(self) -> None:
        await self._stream.aclose()

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ASYNC109
    ) -> httpcore.AsyncNetworkStream:
        return _Unhurried(await self._stream.start_tls(ssl_context, server_hostname, timeout), self._read)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)
