"""Disk reserve: room that uploads may not take, so that an erasure always has some."""

import asyncio
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from domain.errors import Overloaded

RETRY_AFTER_SECONDS: Final = 60
"""What fills a disk is seldom gone in a moment."""


class LocalDiskReserve:
    """Of the file systems that `folders` are on, or will be. No folders, or nothing to reserve: always there."""

    def __init__(self, folders: Iterable[Path], reserve_bytes: int) -> None:
        self._folders = tuple(folders) if reserve_bytes else ()
        self._reserve_bytes = reserve_bytes

    async def expect(self) -> None:
        """Raises: Overloaded. In a thread: a lost network disk does not answer."""
        if self._folders and not await asyncio.to_thread(self._is_there):
            raise Overloaded(
                "There is no room for more photos. Try again later.",
                RETRY_AFTER_SECONDS,
                cause="disk_full",
                advice=f"Less than {self._reserve_bytes / 1024**2:.0f} MB are free (TRYON_DISK_RESERVE_MB).",
            )

    def _is_there(self) -> bool:
        try:
            return all(_free_bytes(folder) >= self._reserve_bytes for folder in self._folders)
        except OSError:
            return False


def _free_bytes(folder: Path) -> int:
    """Of what this process may use. A folder that is yet to be made is on the disk of its parent."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    system = os.statvfs(folder)
    return system.f_bavail * system.f_frsize
