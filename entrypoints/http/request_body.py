"""Bodies as they arrive: uncompressed, and no slower than the lowest rate."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any, Final

import msgspec

from domain.errors import RequestTimeout, UnsupportedContentEncoding
from entrypoints.http.errors import AnyRequest
from entrypoints.http.form_parts import malformed_body

WINDOW_SECONDS: Final = 15
"""Over which the rate is taken: a phone that goes through a tunnel comes out again."""
MAX_JSON_BYTES: Final = 256 * 1024
AS_IT_IS: Final = frozenset({"", "identity", "aws-chunked"})
COMPRESSED: Final = frozenset({"gzip", "x-gzip", "br", "deflate", "zstd", "compress"})


async def body_of(request: AnyRequest, min_bytes_per_second: int) -> AsyncIterator[bytes]:
    """The pieces of a body, none of them empty.

    Raises: UnsupportedContentEncoding; RequestTimeout: less than `min_bytes_per_second` in the mean of 15 s.
    """
    _expect_uncompressed(request)
    window = _Window(min_bytes_per_second)
    stream = request.stream()
    while True:
        try:
            async with asyncio.timeout_at(window.ends_at):
                chunk = await anext(stream, b"")
        except TimeoutError as error:
            raise RequestTimeout(window.received_bytes, WINDOW_SECONDS, min_bytes_per_second) from error
        if not chunk:
            return
        window.count(len(chunk))
        yield chunk


async def json_object_of(request: AnyRequest, min_bytes_per_second: int) -> dict[str, Any]:
    """A small JSON object. Raises: ValidationFailed: it is none, or too large; what `body_of` raises."""
    data = bytearray()
    async for chunk in body_of(request, min_bytes_per_second):
        data += chunk
        if len(data) > MAX_JSON_BYTES:
            raise malformed_body(f"has more than {MAX_JSON_BYTES:,} bytes of JSON")
    return decoded_object(data)


def decoded_object(data: bytes | bytearray) -> dict[str, Any]:
    """Raises: ValidationFailed."""
    try:
        decoded = msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise malformed_body("is not valid JSON in UTF-8, or is nested too deeply") from None
    if not isinstance(decoded, dict):
        raise malformed_body("must be a JSON object")
    return decoded


class _Window:
    """The time in which the next bytes have to come; it begins anew as soon as they are there."""

    def __init__(self, min_bytes_per_second: int) -> None:
        self._wanted_bytes = WINDOW_SECONDS * min_bytes_per_second
        self._now = asyncio.get_running_loop().time
        self._begin()

    def _begin(self) -> None:
        self.received_bytes = 0
        self.ends_at = self._now() + WINDOW_SECONDS

    def count(self, size_bytes: int) -> None:
        self.received_bytes += size_bytes
        if self.received_bytes >= self._wanted_bytes:
            self._begin()


def _expect_uncompressed(request: AnyRequest) -> None:
    sent = request.headers.get("content-encoding", "")
    for encoding in (part.strip().lower() for part in sent.split(",")):
        if encoding not in AS_IT_IS:
            raise UnsupportedContentEncoding(encoding if encoding in COMPRESSED else "...")
