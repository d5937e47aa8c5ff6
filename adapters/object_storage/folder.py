"""Objects as files in a local folder."""

import asyncio
import os
import re
import secrets
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path

from domain.errors import Overloaded

ABANDONED_AFTER = timedelta(minutes=10)
"""A file that is still unfinished by then was left by a process that was killed."""
LOOKS_EVERY = timedelta(hours=1)
INCOMING = "incoming"
NAMES_AT_ONCE = 1000
NAME = re.compile(r"[\w-]+/[\w-][\w.-]*", re.ASCII)
"""A folder and a file in it, neither of them hidden: such a name stays inside."""
OUT_OF_REACH = "Storage is not reachable. Try again shortly."


class FolderObjectStore:
    """Every file is whole or not there: written beside its place, flushed to the disk, then renamed."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._incoming = root / INCOMING
        self._next_look = datetime.min.replace(tzinfo=UTC)

    async def put(self, name: str, data: bytes) -> None:
        writing = asyncio.ensure_future(asyncio.to_thread(self._put, self._path(name), data))
        try:
            await asyncio.shield(writing)
        except asyncio.CancelledError:  # a thread cannot be stopped: whoever cleans up has to come after it
            await asyncio.gather(writing, return_exceptions=True)
            raise

    async def get(self, name: str) -> bytes | None:
        return await asyncio.to_thread(self._get, self._path(name))

    async def delete(self, names: Iterable[str]) -> frozenset[str]:
        return await asyncio.to_thread(self._delete, list(names))

    async def names(self, after: str = "") -> AsyncIterator[str]:
        listing = self._names(after)
        while page := await asyncio.to_thread(list, islice(listing, NAMES_AT_ONCE)):
            for name in page:
                yield name

    async def sweep(self, now: datetime) -> None:
        await asyncio.to_thread(self._sweep_incoming)
        if now >= self._next_look:  # a look at a million files takes seconds
            await asyncio.to_thread(self._sweep_outlived, now)
            self._next_look = now + LOOKS_EVERY

    async def check(self) -> None:
        probe = f"{INCOMING}/probe-{secrets.token_hex(8)}"  # where `sweep` finds it, should this process be killed now
        await self.put(probe, b"")
        if await self.delete([probe]):
            raise Overloaded(OUT_OF_REACH)

    def _path(self, name: str) -> Path:
        if not NAME.fullmatch(name):
            raise ValueError("not the name of an object")
        return self._root / name

    def _put(self, path: Path, data: bytes) -> None:
        part = self._incoming / secrets.token_hex(16)
        try:
            _make_folder(path.parent)
            _make_folder(self._incoming)
            try:
                _write_through(part, data)
                part.rename(path)
            except BaseException:
                part.unlink(missing_ok=True)
                raise
            _flush_folder(path.parent)
        except OSError as error:
            raise Overloaded(OUT_OF_REACH) from error

    @staticmethod
    def _get(path: Path) -> bytes | None:
        try:
            return path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise Overloaded(OUT_OF_REACH) from error

    def _delete(self, names: list[str]) -> frozenset[str]:
        by_folder = defaultdict(list)
        for name in names:
            by_folder[self._path(name).parent].append(name)
        left: set[str] = set()
        for folder, inside in by_folder.items():
            left.update(name for name in inside if not _unlink(self._path(name)))
            try:
                if folder.exists():
                    _flush_folder(folder)
            except OSError:
                left.update(inside)
        return frozenset(left)

    def _sweep_incoming(self) -> None:
        self._unlink_older(self._incoming, time.time() - ABANDONED_AFTER.total_seconds())

    def _sweep_outlived(self, now: datetime) -> None:
        """By the age of the files alone, as lifecycle rules of a bucket do: whatever the database says."""
        for folder in self._root.glob("ttl-*d"):
            if days := re.fullmatch(r"ttl-(\d{1,4})d", folder.name):
                self._unlink_older(folder, (now - timedelta(days=int(days[1]) + 1)).timestamp())

    @staticmethod
    def _unlink_older(folder: Path, oldest: float) -> None:
        try:
            for file in os.scandir(folder) if folder.exists() else ():
                with suppress(FileNotFoundError):  # it was renamed or deleted since it was listed
                    if file.stat(follow_symlinks=False).st_mtime < oldest:
                        Path(file).unlink()
        except OSError as error:
            raise Overloaded(OUT_OF_REACH) from error

    def _names(self, after: str) -> Iterator[str]:
        try:
            for folder in sorted(path.name for path in self._root.glob("ttl-*d")):
                if folder < after.partition("/")[0]:
                    continue
                for file in sorted(os.listdir(self._root / folder)):  # noqa: PTH208 - a million paths take 400 MB
                    if (name := f"{folder}/{file}") > after:
                        yield name
        except OSError as error:
            raise Overloaded(OUT_OF_REACH) from error


def _write_through(path: Path, data: bytes) -> None:
    with path.open("xb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _unlink(path: Path) -> bool:
    try:
        path.unlink(missing_ok=True)
    except OSError:
        return False
    return True


def _make_folder(folder: Path) -> None:
    """Like `mkdir -p`, and each new folder survives a power cut as its files do."""
    if folder.is_dir():
        return
    _make_folder(folder.parent)
    folder.mkdir(exist_ok=True)
    _flush_folder(folder.parent)


def _flush_folder(folder: Path) -> None:
    """A rename or an unlink survives a power cut only once its folder is flushed too."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
