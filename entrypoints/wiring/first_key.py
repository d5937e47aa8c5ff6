"""The first API key: on a machine of one's own it goes into a file; elsewhere to a terminal, or else to that file."""

import os
from pathlib import Path
from typing import Final

from entrypoints.wiring.settings import Settings

FILE_NAME: Final = "first-key"


def key_file(settings: Settings) -> Path:
    """Where the first key is kept, as long as nobody deletes it."""
    return settings.data_dir / FILE_NAME


def keep_first_key(settings: Settings, key: str) -> Path:
    """Readable by its owner alone. Returns: the file. Raises: OSError."""
    path = key_file(settings)
    path.unlink(missing_ok=True)  # of a database that is gone
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(f"{key}\n")
    return path
