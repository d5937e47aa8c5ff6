"""Raw files of this machine, searched byte for byte, past everything that database and storage know of them."""

import asyncio
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from application.ports.objects import RawSearch

BLOCK_BYTES = 4 * 1024**2


@dataclass(frozen=True, slots=True)
class LocalFiles:
    """`places` says anew at each search which folders and files there are; what is not there holds nothing."""

    places: Callable[[], Iterable[Path]]

    async def search(self, needles: Sequence[bytes]) -> RawSearch:
        """Raises: PermissionError: a file that cannot be read may hold anything."""
        return await asyncio.to_thread(self._search, needles)

    def _search(self, needles: Sequence[bytes]) -> RawSearch:
        files, size_bytes, hits = 0, 0, []
        for path in sorted({file for place in self.places() for file in _files(place.absolute())}):
            try:
                with path.open("rb") as file:
                    found, size = _look_into(file, needles)
            except FileNotFoundError:  # gone meanwhile, and all that it held
                continue
            files, size_bytes = files + 1, size_bytes + size
            if found:
                hits.append(str(path))
        return RawSearch(files, size_bytes, tuple(hits))


def _files(place: Path) -> Iterator[Path]:
    yield from (path for path in place.rglob("*") if path.is_file() and not path.is_symlink())
    if place.is_file():
        yield place


def _look_into(file: BinaryIO, needles: Sequence[bytes]) -> tuple[bool, int]:
    """Whether the file holds one of the needles, and its size; blocks overlap by the longest needle."""
    overlap, tail, size, found = max(map(len, needles), default=1) - 1, b"", 0, False
    while block := file.read(BLOCK_BYTES):
        size += len(block)
        window = tail + block
        found = found or any(needle in window for needle in needles)
        tail = window[-overlap:] if overlap else b""
    return found, size
