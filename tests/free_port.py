"""A port of this machine that nobody listens on just now, and that no other test is given."""

import fcntl
import os
import random
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

BLOCKS: Final = range(10_000, 30_000, 50)
"""Below the ports that the kernel gives to clients, and to whoever asks for any."""
LOCKS: Final = Path(tempfile.gettempdir()) / f"tryon-test-ports-{os.getuid()}"


def free_port() -> int:
    return next(PORTS)


def _ports() -> Iterator[int]:
    """Of one block after the other, each locked for as long as this process lives. No port comes twice."""
    LOCKS.mkdir(exist_ok=True)
    locks = []
    for block in random.sample(BLOCKS, len(BLOCKS)):
        lock = (LOCKS / str(block)).open("w")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.close()
            continue
        locks.append(lock)
        yield from filter(_is_free, range(block, block + BLOCKS.step))


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("", port))
        except OSError:
            return False
        return True


PORTS: Final = _ports()
