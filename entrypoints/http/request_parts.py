"""Parts of a request: the id and the page in its URL, and its body as it arrives.

A body is uncompressed, no slower than the lowest rate, and within the memory there is for bodies. The URL is read by
ourselves: the framework's own path parameters lose encoded slashes and dots, and its refusals name neither the field
nor the limit.
"""

import asyncio
import codecs
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Annotated, Any, Final
from urllib.parse import unquote_to_bytes

import msgspec
from litestar.exceptions import InternalServerException
from litestar.exceptions.http_exceptions import RequestEntityTooLarge
from litestar.params import QueryParameter

from application.fair_shares import SMALL_BYTES, BodyClaim
from domain.errors import FieldProblem, FileTooLarge, RequestTimeout, UnsupportedContentEncoding, ValidationFailed
from entrypoints.http.admission import RequestWithKey
from entrypoints.http.errors import CLIENT_LEFT, AnyRequest
from entrypoints.http.form_parts import malformed_body
from entrypoints.http.service import Service

WINDOW_SECONDS: Final = 15
"""Over which the rate is taken: a phone that goes through a tunnel comes out again."""
SMALL_SECONDS: Final = 0.001
"""Of one account's bodies together a thousand small pieces are read in a second."""
MAX_JSON_BYTES: Final = 256 * 1024
MAX_FIELD_NAME_BYTES: Final = 64
AS_IT_IS: Final = frozenset({"", "identity", "aws-chunked"})
COMPRESSED: Final = frozenset({"gzip", "x-gzip", "br", "deflate", "zstd", "compress"})


@asynccontextmanager
async def receiving(
    request: RequestWithKey, service: Service, path: str = "body"
) -> AsyncIterator[AsyncIterator[bytes]]:
    """The pieces of a body, none of them empty; the memory for it is held until the end of the block.

    Raises: UnsupportedContentEncoding. Reading raises FileTooLarge (at `path`): more than any body may have;
    RequestTimeout: less than the lowest rate in the mean of 15 s; Overloaded: the memory is taken for too long.
    """
    _expect_uncompressed(request)
    client = _Client(request)
    with (
        service.body_memory.claim(request.user.account_id, request.content_length) as claim,
        client.watched(),
        _about_sizes(request, service.settings.max_file_bytes, path),
    ):
        yield _pieces(request, claim, client, service)


class _Client:
    """Cancels the work on a request whose client has gone away: nobody would learn what was made of it."""

    def __init__(self, request: AnyRequest) -> None:
        self._request = request
        self._work = asyncio.current_task()
        self._watch: asyncio.Task[None] | None = None
        self._has_left = False

    def has_sent_all(self) -> None:
        """From now on nothing but its leaving can come."""
        self._watch = asyncio.create_task(self._wait_for_its_leaving())

    @contextmanager
    def watched(self) -> Iterator[None]:
        try:
            yield
        except asyncio.CancelledError:
            if not self._has_left or self._work is None or self._work.uncancel():
                raise
            raise InternalServerException(CLIENT_LEFT) from None
        finally:
            if self._watch is not None:
                self._watch.cancel()

    async def _wait_for_its_leaving(self) -> None:
        while (await self._request.receive())["type"] != "http.disconnect":
            pass
        self._has_left = True
        if self._work is not None:
            self._work.cancel()


async def _pieces(request: RequestWithKey, claim: BodyClaim, client: _Client, service: Service) -> AsyncIterator[bytes]:
    window, received_bytes = _Window(service.settings.upload_min_bytes_per_second), 0
    stream = request.stream()
    while chunk := await window.next_of(stream):
        received_bytes += len(chunk)
        with window.stopped():
            await claim.draw(len(chunk))
        if len(chunk) < SMALL_BYTES:  # it is the client who is slow with such
            await service.small_pieces.wait(request.user.account_id, SMALL_SECONDS)
        yield chunk
    claim.settle(received_bytes)
    client.has_sent_all()


@contextmanager
def _about_sizes(request: AnyRequest, max_file_bytes: int, path: str) -> Iterator[None]:
    """Raises: FileTooLarge, in place of what the framework raises for a body that is larger than any may be."""
    try:
        yield
    except RequestEntityTooLarge:
        raise FileTooLarge(max_file_bytes, request.content_length, path=path) from None


async def json_object_of(request: RequestWithKey, service: Service) -> dict[str, Any]:
    """A small JSON object. Raises: ValidationFailed: it is none, or too large; what `receiving` raises."""
    async with receiving(request, service) as body:
        data = await read_json(body)
    return decoded_object(data)


async def read_json(body: AsyncIterator[bytes]) -> bytearray:
    """Raises: ValidationFailed: it is too large."""
    data = bytearray()
    async for chunk in body:
        data += chunk
        if len(data) > MAX_JSON_BYTES:
            raise too_much_json()
    return data


def too_much_json() -> ValidationFailed:
    """For the first byte too many."""
    return malformed_body(f"has more than {MAX_JSON_BYTES:,} bytes of JSON")


def decoded_object(data: bytes | bytearray) -> dict[str, Any]:
    """Raises: ValidationFailed."""
    data = data.removeprefix(codecs.BOM_UTF8)  # .NET writes it
    if not data.strip():
        raise malformed_body("is empty, and must be a JSON object")
    try:
        decoded = msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        if data.startswith(b"--") or b"=" in data[:MAX_FIELD_NAME_BYTES].partition(b"{")[0]:
            raise malformed_body("is a form, and must be JSON") from None
        raise malformed_body("is not valid JSON in UTF-8, or is nested too deeply") from None
    if not isinstance(decoded, dict):
        raise malformed_body("must be a JSON object")
    return decoded


class _Window:
    """The time in which the next bytes have to come; it begins anew as soon as they are there."""

    def __init__(self, min_bytes_per_second: int) -> None:
        self._min_bytes_per_second = min_bytes_per_second
        self._now = asyncio.get_running_loop().time
        self._begin()

    def _begin(self) -> None:
        self._received_bytes = 0
        self._ends_at = self._now() + WINDOW_SECONDS

    async def next_of(self, stream: AsyncIterator[bytes]) -> bytes:
        """The next piece; empty at the end. Raises: RequestTimeout."""
        try:
            async with asyncio.timeout_at(self._ends_at):
                chunk = await anext(stream, b"")
        except TimeoutError:
            raise RequestTimeout(self._received_bytes, WINDOW_SECONDS, self._min_bytes_per_second) from None
        self._received_bytes += len(chunk)
        if self._received_bytes >= WINDOW_SECONDS * self._min_bytes_per_second:
            self._begin()
        return chunk

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """Time in which it is us who do not read."""
        began = self._now()
        yield
        self._ends_at += self._now() - began


def _expect_uncompressed(request: AnyRequest) -> None:
    sent = request.headers.get("content-encoding", "")
    for encoding in (part.strip().lower() for part in sent.split(",")):
        if encoding not in AS_IT_IS:
            raise UnsupportedContentEncoding(encoding if encoding in COMPRESSED else "...")


Limit = Annotated[str | None, QueryParameter(name="limit")]
Cursor = Annotated[str | None, QueryParameter(name="cursor")]


def page_limit(text: str | None, default: int, most: int) -> int:
    """Raises: ValidationFailed."""
    if text is None:
        return default
    number = int(text) if text.isascii() and text.isdigit() and len(text) <= len(str(most)) else 0
    if not 1 <= number <= most:
        raise ValidationFailed((FieldProblem("limit", f"must be a whole number from 1 to {most}"),))
    return number


def id_at_the_end(request: AnyRequest, name: str, prefix: str) -> str:
    """All of the path after `prefix`, percent-decoded exactly once, byte for byte.

    Slashes may come as they are: many proxies decode `%2F`. Raises: ValidationFailed when it is empty or not valid
    UTF-8, when the route is not spelled as documented (it would move what is taken for the id), or with a query string,
    which is a `?` that somebody forgot to encode.
    """
    raw, question_mark, _ = request.scope["raw_path"].partition(b"?")
    if question_mark or request.scope["query_string"]:
        raise ValidationFailed((FieldProblem(name, "must not be followed by a query string; encode ? as %3F"),))
    if not raw.startswith(prefix.encode()) or len(raw) == len(prefix):
        raise ValidationFailed((FieldProblem(name, "must follow the path of this call, percent-encoded"),))
    try:
        return unquote_to_bytes(raw[len(prefix) :]).decode()
    except UnicodeDecodeError as error:
        raise ValidationFailed((FieldProblem(name, "is not valid percent-encoded UTF-8"),)) from error
