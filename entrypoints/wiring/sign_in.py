"""Ways in on a machine of one's own: the first API key, in a file, and the page's one-time sign-in.

Of the sign-in `serve` leaves a digest in the data folder; whoever brings the token first takes it.
"""

import hashlib
import hmac
import os
import secrets
import time
from pathlib import Path
from typing import Final

from entrypoints.wiring.settings import Settings

KEY_FILE_NAME: Final = "first-key"
FILE_NAME: Final = "sign-in"
LIFETIME_SECONDS: Final = 3600
"""Longer than anybody looks for the link in a terminal."""


def key_file(settings: Settings) -> Path:
    """Where the first key is kept, as long as nobody deletes it."""
    return settings.data_dir / KEY_FILE_NAME


def keep_first_key(settings: Settings, key: str) -> Path:
    """Readable by its owner alone. Returns: the file. Raises: OSError."""
    path = key_file(settings)
    path.unlink(missing_ok=True)  # of a database that is gone
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(f"{key}\n")
    return path


def new_sign_in(settings: Settings) -> str:
    """A token for a link; the one before it is void. Raises: OSError."""
    token = secrets.token_urlsafe(24)
    path = _path(settings)
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f"{FILE_NAME}.{secrets.token_hex(8)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(hashlib.sha256(token.encode()).digest())
    draft.replace(path)
    return token


def redeem(settings: Settings, token: str) -> bool:
    """Whether it was the token of the latest link, unused and not older than an hour. Any try uses it up."""
    path = _path(settings)
    taken = path.with_name(f"{FILE_NAME}.{secrets.token_hex(8)}")
    try:
        path.rename(taken)  # of two that try at once, one finds it
    except FileNotFoundError:
        return False
    try:
        is_recent = time.time() - taken.stat().st_mtime < LIFETIME_SECONDS
        expected = taken.read_bytes()
    finally:
        taken.unlink()
    return hmac.compare_digest(expected, hashlib.sha256(token.encode()).digest()) and is_recent


def _path(settings: Settings) -> Path:
    return settings.data_dir / FILE_NAME
