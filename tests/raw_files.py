"""A look into raw files, past everything that the service knows of them."""

from contextlib import suppress
from pathlib import Path


def files_with(folder: Path, *canaries: str | bytes) -> list[str]:
    """Those of all files under a folder that hold one of the canaries, whoever may write to them meanwhile."""
    needles = [canary.encode() if isinstance(canary, str) else canary for canary in canaries]
    found = []
    for path in sorted(folder.rglob("*")):
        with suppress(FileNotFoundError):
            if path.is_file() and any(needle in path.read_bytes() for needle in needles):
                found.append(str(path.relative_to(folder)))
    return found
