"""Raw files of this machine, searched byte for byte, past everything that database and storage know of them."""

import asyncio
import os
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
        return await asyncio.to_thread(self._search, needles)

    def _search(self, needles: Sequence[bytes]) -> RawSearch:
        files, size_bytes, hits, unread = 0, 0, list[str](), list[str]()

        def note(error: OSError) -> None:
            if not isinstance(error, FileNotFoundError | NotADirectoryError):  # gone meanwhile, and all that it held
                unread.append(str(error.filename))

        for path in sorted({file for place in self.places() for file in _files(place.absolute(), note)}):
            try:
                with path.open("rb") as file:
                    found, size = _look_into(file, needles)
            except OSError as error:
                note(OSError(error.errno, error.strerror, str(path)))  # of a read, it names no file
                continue
            files, size_bytes = files + 1, size_bytes + size
            if found:
                hits.append(str(path))
        return RawSearch(files, size_bytes, tuple(hits), tuple(unread))


def _files(place: Path, note: Callable[[OSError], None]) -> Iterator[Path]:
    """Regular ones, none behind a link; `note` hears of folders that cannot be read."""
    for folder, _, names in os.walk(place, onerror=note):
        yield from (path for name in names if (path := Path(folder) / name).is_file() and not path.is_symlink())
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
