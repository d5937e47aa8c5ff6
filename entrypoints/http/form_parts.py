"""Read a multipart form from the request stream, each part bounded while it is read."""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

from multipart import MultipartError, MultipartSegment, PushMultipartParser, parse_options_header

from domain.errors import DomainError, FieldProblem, ValidationFailed

MAX_PARTS = 64
PIECE_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class PartLimit:
    """How many bytes a part may have, and what is raised at the first one more."""

    max_bytes: int
    too_large: DomainError


LimitOf = Callable[[str], PartLimit | None]
"""From a part's name to its limit; None for a part that is read and forgotten. Asked once for each part, in order."""


def is_form(content_type: str) -> bool:
    """Whether a content type is that of a form with files."""
    kind, _ = parse_options_header(content_type)
    return bool(kind == "multipart/form-data")


async def read_parts(
    content_type: str, stream: AsyncIterator[bytes], limit_of: LimitOf, *, advice: str
) -> list[tuple[str, bytes]]:
    """Names and contents of the parts that have a limit, in the order they came.

    Raises: what a limit says; ValidationFailed when the body is not multipart/form-data (with `advice`) or broken.
    """
    kind, options = parse_options_header(content_type)
    if kind != "multipart/form-data" or not options.get("boundary"):
        raise malformed_body(f"must be multipart/form-data with a boundary; {advice}")
    part = _Part(limit_of)
    try:
        parser = PushMultipartParser(
            options["boundary"], max_segment_count=MAX_PARTS, max_header_size=16 * 1024, max_header_count=16
        )
        with parser:
            async for chunk in stream:
                for event in parser.parse(chunk):
                    part.take(event)
    except (MultipartError, UnicodeError, LookupError) as error:
        raise malformed_body("is not well-formed multipart/form-data, or has too many or too large parts") from error
    return part.done


def malformed_body(message: str) -> ValidationFailed:
    """A problem with the body as a whole."""
    return ValidationFailed((FieldProblem("body", message),))


class _Part:
    """Collects the part that is being read.

    In large pieces, not in one buffer: thirty that grow side by side would be copied, and leave gaps, as they do.
    """

    def __init__(self, limit_of: LimitOf) -> None:
        self.done: list[tuple[str, bytes]] = []
        self._limit_of = limit_of
        self._limit: PartLimit | None = None
        self._name = ""
        self._size_bytes = 0
        self._pieces: list[bytes | bytearray] = []
        self._crumbs = bytearray()

    def take(self, event: Any) -> None:
        match event:
            case MultipartSegment():
                self._name, self._size_bytes = event.name or "", 0
                self._limit = self._limit_of(self._name)
            case None if self._limit is not None:
                self.done.append((self._name, b"".join((*self._pieces, self._crumbs))))
                self._limit, self._pieces, self._crumbs = None, [], bytearray()
            case data if data and self._limit is not None:
                self._size_bytes += len(data)
                if self._size_bytes > self._limit.max_bytes:
                    raise self._limit.too_large
                self._keep(data)

    def _keep(self, data: bytes) -> None:
        """What trickles in byte by byte must not become millions of objects."""
        if len(data) >= PIECE_BYTES:
            self._pieces += (self._crumbs, data)
            self._crumbs = bytearray()
            return
        self._crumbs += data
        if len(self._crumbs) >= PIECE_BYTES:
            self._pieces.append(self._crumbs)
            self._crumbs = bytearray()
