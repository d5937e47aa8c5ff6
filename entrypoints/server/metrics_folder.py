"""Where the server processes keep what they count: a folder, in memory where there is such a place."""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

VARIABLE: Final = "PROMETHEUS_MULTIPROC_DIR"
PREFIX: Final = "tryon-metrics-"
LOCK: Final = "lock"
OWNER: Final = "owner"
"""Names the process whose descendants are the service (adapters/telemetry/exposition.py)."""
MEMORY: Final = Path("/dev/shm")  # noqa: S108 - a folder of our own in it, with a random name


@contextmanager
def metrics_folder(parent: Path | None = None) -> Iterator[Path]:
    """Make one and name it in the environment, before anything imports prometheus_client; remove it at the end.

    What a killed supervisor left is removed too: its lock ended with the last of its processes.
    """
    place = parent or (MEMORY if os.access(MEMORY, os.W_OK) else Path(tempfile.gettempdir()))
    _sweep(place)
    folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=place))
    (folder / OWNER).write_text(str(os.getpid()))
    with (folder / LOCK).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        os.environ[VARIABLE] = str(folder)
        try:
            yield folder
        finally:
            del os.environ[VARIABLE]
            shutil.rmtree(folder, ignore_errors=True)


def _sweep(place: Path) -> None:
    for lock_path in place.glob(f"{PREFIX}*/{LOCK}"):
        try:
            with lock_path.open("r+") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            continue  # in use, gone meanwhile, or another user's
        shutil.rmtree(lock_path.parent, ignore_errors=True)
