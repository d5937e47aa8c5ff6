"""Files of shared metrics that own their space from the start, in place of prometheus-client's sparse ones.

A sparse file that finds no page left when it is written ends its process by SIGBUS.
"""

import mmap
import os
from pathlib import Path
from typing import Any, Final

from prometheus_client import mmap_dict, values

from adapters.sandbox import system

BYTES: Final = 256 * 1024
"""Some 1,000 series of one kind in one process; more grow it."""
LONGEST_ENTRY: Final = 4096


_LibrarysFile: Any = mmap_dict.MmapedDict  # its methods have no types


class PreallocatedFile(_LibrarysFile):  # type: ignore[misc]  # as said
    """What finds no room is not counted: figures are no reason to fail a request."""

    def __init__(self, filename: str, read_mode: bool = False) -> None:
        if read_mode or _grow(filename, BYTES):
            super().__init__(filename, read_mode)
            return
        Path(filename).unlink(missing_ok=True)  # whoever reads all files expects none without a beginning
        self._f: Any = None
        self._fname, self._capacity = filename, BYTES
        self._m = mmap.mmap(-1, BYTES)  # this process counts for itself
        self._positions: dict[str, int] = {}
        self._used = 8

    def read_value(self, key: str) -> tuple[float, float]:
        if key in self._positions or self._has_room():
            found: tuple[float, float] = super().read_value(key)
            return found
        return 0.0, 0.0

    def write_value(self, key: str, value: float, timestamp: float) -> None:
        if key in self._positions or self._has_room():
            super().write_value(key, value, timestamp)

    def _has_room(self) -> bool:
        if self._used + LONGEST_ENTRY <= self._capacity:
            return True
        return self._f is not None and _grow(self._fname, 2 * self._capacity)


def _grow(filename: str, size: int) -> bool:
    """Give the file `size` bytes of its own; False when there is no space for them."""
    descriptor = os.open(filename, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        system.take_room(descriptor, size)
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return True


def use_preallocated_files() -> None:
    """To be called before the first metric is made."""
    values.MmapedDict = PreallocatedFile  # type: ignore[attr-defined]  # imported there, which is what counts
