"""The folder in which the server processes keep what they count, in memory where there is such a place."""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from adapters.sandbox import system

VARIABLE: Final = "PROMETHEUS_MULTIPROC_DIR"
PREFIX: Final = "tryon-metrics-"
LOCK: Final = "lock"
OWNER: Final = "owner"
"""Names the process whose descendants are the service (adapters/telemetry/exposition.py)."""


def _temporary_folder() -> Path:
    try:
        return Path(tempfile.gettempdir())
    except OSError:  # none can be written to
        return Path(os.environ.get("TMPDIR", "/tmp"))  # noqa: S108


PLACES: Final = (Path("/dev/shm"), _temporary_folder())  # noqa: S108 - a folder of our own in it, randomly named
ROOM_BYTES: Final = 8 * 1024**2
"""Each server process takes 1.5 MB, and more only with thousands of series."""


@contextmanager
def metrics_folder(parent: Path | None = None, *, last: Path | None = None) -> Iterator[Path]:
    """Make one and name it in the environment, before anything imports prometheus_client; remove it at the end.

    `last` is for where neither memory nor the temporary folder can be written to. What a killed supervisor left is
    removed too: its lock ended with the last of its processes.
    """
    places = (parent,) if parent else (*PLACES, last) if last else PLACES
    for place in places:
        _sweep(place)
    place = next(filter(has_room, places), places[-1])
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


def has_room(place: Path) -> bool:
    """Whether the metrics of a few processes fit there; tried by taking the space and giving it back."""
    try:
        with tempfile.TemporaryFile(dir=place) as attempt:
            system.take_room(attempt.fileno(), ROOM_BYTES)
    except OSError:
        return False
    return True


def room_problem() -> str | None:
    """One line for an operator when there is no room in any of the places."""
    if any(map(has_room, PLACES)):
        return None
    names = " nor ".join(map(str, PLACES))
    return f"Neither {names} has {ROOM_BYTES // 1024**2} MiB for metrics. Free some, or mount more memory there."


def _sweep(place: Path) -> None:
    for lock_path in place.glob(f"{PREFIX}*/{LOCK}"):
        try:
            with lock_path.open("r+") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            continue  # in use, gone meanwhile, or another user's
        shutil.rmtree(lock_path.parent, ignore_errors=True)
