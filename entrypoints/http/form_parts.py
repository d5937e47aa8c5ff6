"""Read a multipart form from the request stream, each part bounded while it is read.

Lenient about what clients in use get wrong: part headers in any encoding, LF line ends, an unquoted boundary with `=`,
`attachment` for `form-data`. Of the headers only the part's name is decoded.
"""

import mmap
import re
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

from multipart import MultipartError, MultipartSegment, ParserError, ParserLimitReached, PushMultipartParser

from domain.errors import DomainError, FieldProblem, ValidationFailed

MAX_PARTS: Final = 64
MAX_HEADERS: Final = 16
MAX_HEADER_BYTES: Final = 16 * 1024
PIECE_BYTES: Final = 64 * 1024
FORM: Final = "multipart/form-data"
_BOUNDARY: Final = re.compile(r';\s*boundary\s*=\s*(?:"([^"]+)"|([^";\s]+))', re.IGNORECASE)
_LEAVE_THE_HEADER: Final = "let the HTTP library set that header, do not set it yourself"
_OTHER_KINDS: Final = {
    "": "has no Content-Type",
    "application/json": "is JSON",
    "application/x-www-form-urlencoded": "is a form that cannot carry files",
    "application/octet-stream": "is bare bytes",
    "text/plain": "is text",
    "multipart/mixed": "is multipart/mixed",
}


@dataclass(frozen=True, slots=True)
class PartLimit:
    """How many bytes a part may have, and what is raised at the first one more."""

    max_bytes: int
    too_large: DomainError


Content = bytes | memoryview
"""A large one is looked at where it lies."""
LimitOf = Callable[[str], PartLimit | None]
"""From a part's name to its limit; None for a part that is read and forgotten. Asked once for each part, in order."""


def is_form(content_type: str) -> bool:
    """Whether a content type is that of a form with files."""
    return _kind(content_type) == FORM


async def read_parts(
    content_type: str, stream: AsyncIterator[bytes], limit_of: LimitOf, *, advice: str
) -> list[tuple[str, Content]]:
    """Names and contents of the parts that have a limit, in the order they came.

    Raises: what a limit says; ValidationFailed when the body is not multipart/form-data (with `advice`) or broken.
    """
    boundary = _boundary(content_type, advice)
    part, head = _Part(limit_of), b""
    try:
        with _Parser(boundary, max_segment_count=MAX_PARTS) as parser:
            async for chunk in _with_crlf(stream, boundary):
                head = head or chunk[:PIECE_BYTES]
                for event in parser.parse(chunk) if chunk else ():  # an empty one would be the end to it
                    part.take(event)
    except ParserLimitReached as error:
        message = f"has more than {MAX_PARTS} parts, or a part with too many or too long headers"
        raise malformed_body(message) from error
    except MultipartError as error:
        raise malformed_body(_malformed(head, boundary, advice)) from error
    return part.done


def _malformed(head: bytes, boundary: bytes, advice: str) -> str:
    if not head:
        return f"is empty; {advice}"
    if b"--" + boundary not in head:
        return f"does not hold the boundary that its Content-Type names; {_LEAVE_THE_HEADER}"
    return "is not well-formed multipart/form-data, or ends before its last boundary"


def malformed_body(message: str) -> ValidationFailed:
    """A problem with the body as a whole."""
    return ValidationFailed((FieldProblem("body", message),))


def _kind(content_type: str) -> str:
    return content_type.partition(";")[0].strip().lower()


def _boundary(content_type: str, advice: str) -> bytes:
    kind = _kind(content_type)
    if kind != FORM:
        found = _OTHER_KINDS.get(kind, "is a bare picture" if kind.startswith("image/") else "is of another kind")
        raise malformed_body(f"{found}, and must be multipart/form-data with a boundary; {advice}")
    found_boundary = _BOUNDARY.search(content_type)
    if found_boundary is None:
        raise malformed_body(f"comes with a Content-Type without a boundary; {_LEAVE_THE_HEADER}")
    return (found_boundary[1] or found_boundary[2]).encode("latin-1", "replace")


class _Parser(PushMultipartParser):  # type: ignore[misc]  # it has no types
    """Reads a part's headers as bytes, and of them only what names the part."""

    def _on_segment_headerline(self, line: bytes) -> None:
        headers = self._segment_headerlist
        if len(line) > MAX_HEADER_BYTES or len(headers) >= MAX_HEADERS:
            raise ParserLimitReached("part headers")
        name, _, value = line.decode("latin-1").partition(":")
        if line[:1] in b" \t" and headers:  # a header that goes on
            headers[-1] = (headers[-1][0], headers[-1][1] + " " + line.decode("latin-1").strip())
        else:
            headers.append((name.strip().title(), value.strip()))

    def _create_segment(self, headers: list[tuple[str, str]]) -> MultipartSegment:
        segment = MultipartSegment([header for header in headers if header[0] == "Content-Disposition"])
        if segment.disposition is None:
            raise ParserError("a part without a name")
        segment.name = (segment.name or "").encode("latin-1").decode("utf-8", "replace")
        return segment


async def _with_crlf(stream: AsyncIterator[bytes], boundary: bytes) -> AsyncIterator[bytes]:
    """The body with the line ends of the standard: as it is, unless its first line ends without a carriage return."""
    head = b""
    async for chunk in stream:
        head += chunk
        if b"\n" in head or len(head) > PIECE_BYTES:
            break
    line, newline, _ = head.partition(b"\n")
    if not newline or line.endswith(b"\r"):
        yield head
        async for chunk in stream:
            yield chunk
        return
    ends = _LineEnds(boundary)
    yield ends.corrected(head)
    async for chunk in stream:
        yield ends.corrected(chunk)
    yield ends.rest


class _LineEnds:
    """Corrects the lines of boundaries and part headers; contents stay as they are."""

    def __init__(self, boundary: bytes) -> None:
        self._edge = b"\n--" + boundary
        self._is_in_content = False
        self.rest = b""

    def corrected(self, chunk: bytes) -> bytes:
        self.rest += chunk
        out = bytearray()
        while self._take_content(out) if self._is_in_content else self._take_line(out):
            pass
        return bytes(out)

    def _take_line(self, out: bytearray) -> bool:
        line, newline, rest = self.rest.partition(b"\n")
        if not newline:
            return False
        out += line.rstrip(b"\r") + b"\r\n"
        self._is_in_content = not line.rstrip(b"\r")
        self.rest = rest
        return True

    def _take_content(self, out: bytearray) -> bool:
        at = self.rest.find(self._edge)
        if at >= 0:
            out += self.rest[:at] + b"\r\n"
            self.rest, self._is_in_content = self.rest[at + 1 :], False
            return True
        kept = len(self._edge) - 1
        out += self.rest[:-kept]
        self.rest = self.rest[-kept:]
        return False


class _Part:
    """Collects the part that is being read: a small one in a buffer, a large one in pages of its own.

    Pages are taken from the system as they are written to, and go back whole. Hundreds of bodies that grow side by side
    in pieces would leave gaps in the heap as they end, and each would be copied to be joined.
    """

    def __init__(self, limit_of: LimitOf) -> None:
        self.done: list[tuple[str, Content]] = []
        self._limit_of = limit_of
        self._limit: PartLimit | None = None
        self._begin("")

    def _begin(self, name: str) -> None:
        self._name, self._size_bytes = name, 0
        self._buffer = bytearray()
        self._pages: mmap.mmap | None = None

    def take(self, event: Any) -> None:
        match event:
            case MultipartSegment():
                self._begin(event.name or "")
                self._limit = self._limit_of(self._name)
            case None if self._limit is not None:
                pages = self._pages
                content = bytes(self._buffer) if pages is None else memoryview(pages)[: self._size_bytes]
                self.done.append((self._name, content))
                self._limit = None
                self._begin("")
            case data if data and self._limit is not None:
                self._size_bytes += len(data)
                if self._size_bytes > self._limit.max_bytes:
                    raise self._limit.too_large
                self._keep(data, self._limit.max_bytes)

    def _keep(self, data: bytes, max_bytes: int) -> None:
        if self._pages is None and self._size_bytes > PIECE_BYTES:
            self._pages = mmap.mmap(-1, max_bytes, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
            _take_small_pages(self._pages)
            self._pages.write(self._buffer)
        if self._pages is None:
            self._buffer += data
        else:
            self._pages.write(data)


def _take_small_pages(pages: mmap.mmap) -> None:
    """So that a slow phone holds what it has sent, and not two megabytes. Only Linux has huge pages at all."""
    advice = getattr(mmap, "MADV_NOHUGEPAGE", None)
    if advice is not None:
        with suppress(OSError):  # a kernel that was built without them
            pages.madvise(advice)
