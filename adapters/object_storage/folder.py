"""Objects as files in a local folder."""

import asyncio
import os
import secrets
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Iterator
from datetime import timedelta
from pathlib import Path

from domain.errors import Overloaded

ABANDONED_AFTER = timedelta(minutes=10)
"""A file that is still unfinished by then was left by a process that was killed."""
OUT_OF_REACH = "Storage is not reachable. Try again shortly."


class FolderObjectStore:
    """Every file is whole or not there: written beside its place, flushed to the disk, then renamed."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._incoming = root / "incoming"

    async def put(self, name: str, data: bytes) -> None:
        await asyncio.to_thread(self._put, self._path(name), data)

    async def get(self, name: str) -> bytes | None:
        return await asyncio.to_thread(self._get, self._path(name))

    async def delete(self, names: Iterable[str]) -> frozenset[str]:
        return await asyncio.to_thread(self._delete, list(names))

    async def names(self, after: str = "") -> AsyncIterator[str]:
        listing = self._names()
        while (name := await asyncio.to_thread(next, listing, None)) is not None:
            if name > after:
                yield name

    async def sweep(self) -> None:
        await asyncio.to_thread(self._sweep)

    async def check(self) -> None:
        probe = f"probe-{secrets.token_hex(8)}"
        await self.put(probe, b"")
        if await self.delete([probe]):
            raise Overloaded(OUT_OF_REACH)

    def _path(self, name: str) -> Path:
        path = self._root / name
        if not path.resolve().is_relative_to(self._root.resolve()):
            raise ValueError("an object name leads out of the store")
        return path

    def _put(self, path: Path, data: bytes) -> None:
        part = self._incoming / secrets.token_hex(16)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._incoming.mkdir(parents=True, exist_ok=True)
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
            try:
                for name in inside:
                    self._path(name).unlink(missing_ok=True)
                if folder.exists():
                    _flush_folder(folder)
            except OSError:
                left.update(inside)
        return frozenset(left)

    def _sweep(self) -> None:
        try:
            for part in self._incoming.iterdir() if self._incoming.exists() else ():
                if part.stat().st_mtime < time.time() - ABANDONED_AFTER.total_seconds():
                    part.unlink(missing_ok=True)
        except OSError as error:
            raise Overloaded(OUT_OF_REACH) from error

    def _names(self) -> Iterator[str]:
        try:
            for folder in sorted(self._root.glob("ttl-*d")):
                for path in sorted(folder.iterdir()):
                    yield f"{folder.name}/{path.name}"
        except OSError as error:
            raise Overloaded(OUT_OF_REACH) from error


def _write_through(path: Path, data: bytes) -> None:
    with path.open("xb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _flush_folder(folder: Path) -> None:
    """A rename or an unlink survives a power cut only once its folder is flushed too."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
