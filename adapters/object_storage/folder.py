"""Objects as files in a local folder."""

import asyncio
import os
import re
import secrets
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

from domain.errors import Overloaded

T = TypeVar("T")
ABANDONED_AFTER = timedelta(minutes=10)
"""A file that is still unfinished by then was left by a process that was killed."""
LOOKS_EVERY = timedelta(hours=1)
INCOMING = "incoming"
MARKER = ".tryon-images"
NAMES_AT_ONCE = 1000
PROBE = bytes(4096)
"""As many as a disk writes at once; an empty file fits on a full one."""
NAME = re.compile(r"[\w-]+/[\w-][\w.-]*", re.ASCII)
"""A folder and a file in it, neither of them hidden: such a name stays inside."""
NOT_MOUNTED = "The storage folder has no .tryon-images at its root. Is it mounted? Make that file only if it is."
OUT_OF_REACH = "Storage is not reachable. Try again shortly."


class NotMarked(Exception):
    """The folder does not say that it is ours."""


async def _yes() -> bool:
    return True


class FolderObjectStore:
    """Every file is whole or not there: written beside its place, flushed to the disk, then renamed.

    A marker at the root tells the folder from an empty mount point: without it nothing is written, and nothing counts
    as deleted. `may_be_new` says whether there cannot be any objects yet; then the marker is made.
    """

    def __init__(self, root: Path, may_be_new: Callable[[], Awaitable[bool]] = _yes) -> None:
        self._root = root
        self._may_be_new = may_be_new
        self._incoming = root / INCOMING
        self._next_look = datetime.min.replace(tzinfo=UTC)

    async def put(self, name: str, data: bytes) -> None:
        writing = asyncio.ensure_future(self._marked(self._put, self._path(name), data))
        try:
            await asyncio.shield(writing)
        except asyncio.CancelledError:  # a thread cannot be stopped: whoever cleans up has to come after it
            await asyncio.gather(writing, return_exceptions=True)
            raise

    async def get(self, name: str) -> bytes | None:
        return await self._marked(self._get, self._path(name))

    async def delete(self, names: Iterable[str]) -> frozenset[str]:
        wanted = list(names)
        by_folder = defaultdict(list)
        for name in wanted:
            by_folder[self._path(name).parent].append(name)
        try:
            return await self._marked(self._delete, by_folder)
        except Overloaded:
            return frozenset(wanted)

    async def names(self, after: str = "") -> AsyncIterator[str]:
        await self._marked(self._expect_marker)
        listing = self._names(after)
        while page := await _in_thread(lambda: list(islice(listing, NAMES_AT_ONCE))):
            for name in page:
                yield name

    async def sweep(self, now: datetime) -> None:
        await _in_thread(self._sweep_incoming)
        if now >= self._next_look:  # a look at a million files takes seconds
            await _in_thread(self._sweep_outlived, now)
            self._next_look = now + LOOKS_EVERY

    async def check(self) -> None:
        probe = f"{INCOMING}/probe-{secrets.token_hex(8)}"  # where `sweep` finds it, should this process be killed now
        await self.put(probe, PROBE)
        if await self.delete([probe]):
            raise Overloaded(OUT_OF_REACH)

    def _path(self, name: str) -> Path:
        if not NAME.fullmatch(name):
            raise ValueError("not the name of an object")
        return self._root / name

    async def _marked(self, work: Callable[..., T], *arguments: Any) -> T:
        """Raises: Overloaded, also when the folder has no marker and cannot be new."""
        try:
            return await _in_thread(work, *arguments)
        except NotMarked:
            is_earlier_version = await _in_thread(lambda: any(self._root.glob("ttl-*d/*.jpg")))
            if not (is_earlier_version or await self._may_be_new()):
                raise Overloaded(OUT_OF_REACH, cause="not_mounted", advice=NOT_MOUNTED) from None
        await _in_thread(self._mark)
        return await _in_thread(work, *arguments)

    def _expect_marker(self) -> None:
        if not (self._root / MARKER).exists():
            raise NotMarked

    def _mark(self) -> None:
        _make_folder(self._root)
        (self._root / MARKER).touch()
        _flush_folder(self._root)

    def _put(self, path: Path, data: bytes) -> None:
        self._expect_marker()
        part = self._incoming / secrets.token_hex(16)
        _make_folder(path.parent)
        _make_folder(self._incoming)
        try:
            _write_through(part, data)
            part.rename(path)
        except BaseException:
            part.unlink(missing_ok=True)
            raise
        _flush_folder(path.parent)

    def _get(self, path: Path) -> bytes | None:
        try:
            return path.read_bytes()
        except FileNotFoundError:
            self._expect_marker()
            return None

    def _delete(self, by_folder: dict[Path, list[str]]) -> frozenset[str]:
        self._expect_marker()
        left: set[str] = set()
        for folder, names in by_folder.items():
            left.update(name for name in names if not _unlink(self._path(name)))
            try:
                if folder.exists():
                    _flush_folder(folder)
            except OSError:
                left.update(names)
        return frozenset(left)

    def _sweep_incoming(self) -> None:
        _unlink_older(self._incoming, time.time() - ABANDONED_AFTER.total_seconds())

    def _sweep_outlived(self, now: datetime) -> None:
        """By the age of the files alone, as lifecycle rules of a bucket do: whatever the database says."""
        failures = []
        for folder in self._root.glob("ttl-*d"):
            if days := re.fullmatch(r"ttl-(\d{1,4})d", folder.name):
                try:
                    _unlink_older(folder, (now - timedelta(days=int(days[1]) + 1)).timestamp())
                except OSError as error:  # of this folder: the others are swept all the same
                    failures.append(error)
        if failures:
            raise failures[0]

    def _names(self, after: str) -> Iterator[str]:
        for folder in sorted(path.name for path in self._root.glob("ttl-*d")):
            if folder < after.partition("/")[0]:
                continue
            for file in sorted(os.listdir(self._root / folder)):  # noqa: PTH208 - a million paths take 400 MB
                if (name := f"{folder}/{file}") > after:
                    yield name


async def _in_thread(work: Callable[..., T], *arguments: Any) -> T:
    """Raises: Overloaded instead of whatever a file system may say."""
    try:
        return await asyncio.to_thread(work, *arguments)
    except OSError as error:
        raise Overloaded(OUT_OF_REACH) from error


def _unlink_older(folder: Path, oldest: float) -> None:
    for file in os.scandir(folder) if folder.exists() else ():
        with suppress(FileNotFoundError):  # it was renamed or deleted since it was listed
            # Folders are somebody else's, as those are that storage systems keep in each one (`@eaDir`, `.snapshot`).
            if not file.is_dir(follow_symlinks=False) and file.stat(follow_symlinks=False).st_mtime < oldest:
                Path(file).unlink()


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
