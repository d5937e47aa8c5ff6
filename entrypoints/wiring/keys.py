"""Keys in the data folder: the rings that sign and name, the first API key, the token of the page's sign-in link."""

import hashlib
import hmac
import os
import secrets
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from domain.customer import Pseudonyms
from entrypoints.wiring.environment import ConfigurationError, Problem, keys_in
from entrypoints.wiring.settings import MIN_KEY_CHARS, Settings

if TYPE_CHECKING:
    from adapters.ed25519 import DerivedKeys

SIGNING_FILE: Final = "signing.key"
PSEUDONYM_FILE: Final = "pseudonym.key"
FIRST_KEY_FILE: Final = "first-key"
SIGN_IN_FILE: Final = "sign-in"
"""`serve` leaves a digest of the page's one-time token in it; whoever brings the token first takes it."""
SIGN_IN_SECONDS: Final = 3600
"""Longer than anybody looks for the link in a terminal."""


def signing_ring(settings: Settings) -> tuple[bytes, ...]:
    """One key or more: the first one signs, and what any of them has signed is accepted.

    At least 32 bytes each, without commas and white space, which separate them. Any number of processes may ask at
    once; all of them get the same keys. Raises: ConfigurationError: the file holds less than that, as after a power
    cut; a link could be forged with it; or it cannot be read.
    """
    cure = "Delete the file: a new one is made"
    return _ring("TRYON_SIGNING_KEY", settings.signing_key, settings.data_dir / SIGNING_FILE, cure)


def pseudonyms(settings: Settings) -> Pseudonyms:
    """Under the ring of pseudonym keys. Raises: as `signing_ring`."""
    cure = "Put the file back. Without it, photos that are there can be erased by their ids alone, for 7 days"
    ring = _ring("TRYON_PSEUDONYM_KEY", settings.pseudonym_key, settings.data_dir / PSEUDONYM_FILE, cure)
    return Pseudonyms(ring)


def receipt_keys(settings: Settings) -> "DerivedKeys":
    """The keys of receipts, in the order of the ring.

    Raises: ConfigurationError: as `signing_ring`; one made here would be known to no other machine of the service.
    """
    from adapters.ed25519 import DerivedKeys  # noqa: PLC0415 - no server needs it

    if settings.signing_key is None and not settings.has_own_database:
        takes = "keys of at least 32 characters; needed for receipts with PostgreSQL: all machines sign with the same"
        raise ConfigurationError([Problem("TRYON_SIGNING_KEY", "", takes)])
    return DerivedKeys(signing_ring(settings))


def is_signing_ring_there(settings: Settings) -> bool:
    """Whether there is one without making it."""
    return settings.signing_key is not None or (settings.data_dir / SIGNING_FILE).exists()


def is_signed(public_key: bytes, signature: bytes, message: bytes) -> bool:
    """Whether the owner of the public key signed the message; asks no settings."""
    from adapters import ed25519  # noqa: PLC0415

    return ed25519.is_signed(public_key, signature, message)


def _ring(variable: str, given: str | None, path: Path, cure: str) -> tuple[bytes, ...]:
    if given is not None:
        return keys_in(given)
    try:
        if not os.path.lexists(path):
            _make(path)
        ring = keys_in(path.read_text())
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "no text"
        raise ConfigurationError([Problem(variable, str(path), f"a file of keys that can be read ({why})")]) from None
    if min(map(len, ring), default=0) < MIN_KEY_CHARS:
        holds = f"{', '.join(str(len(key)) for key in ring) or 0} bytes in {path}"
        raise ConfigurationError([Problem(variable, holds, f"{MIN_KEY_CHARS} or more. {cure}")])
    return ring


def _make(path: Path) -> None:
    """In one step, and flushed to the disk before it has its name."""
    draft = _draft(path, secrets.token_urlsafe(48).encode())
    try:
        os.link(draft, path)  # unlike a rename, never replaces the key of a process that was faster
        _flush(path.parent)
    except FileExistsError:
        return
    finally:
        draft.unlink()


def _draft(path: Path, content: bytes) -> Path:
    """A file beside `path` that only its owner may read, on the disk when this returns."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(descriptor)
    except BaseException:
        draft.unlink()
        raise
    return draft


def _flush(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def key_file(settings: Settings) -> Path:
    """Where the first key is kept, as long as nobody deletes it."""
    return settings.data_dir / FIRST_KEY_FILE


def keep_first_key(settings: Settings, key: str) -> Path:
    """Readable by its owner alone; that of a database that is gone is replaced. Returns: the file. Raises: OSError."""
    return _draft(key_file(settings), f"{key}\n".encode()).replace(key_file(settings))


def new_sign_in(settings: Settings) -> str:
    """A token for a link; the one before it is void. Raises: OSError."""
    token = secrets.token_urlsafe(24)
    path = settings.data_dir / SIGN_IN_FILE
    _draft(path, hashlib.sha256(token.encode()).digest()).replace(path)
    return token


def redeem(settings: Settings, token: str) -> bool:
    """Whether it was the token of the latest link, unused and not older than an hour. Any try uses it up."""
    path = settings.data_dir / SIGN_IN_FILE
    taken = path.with_name(f"{SIGN_IN_FILE}.{secrets.token_hex(8)}")
    try:
        path.rename(taken)  # of two that try at once, one finds it
    except FileNotFoundError:
        return False
    try:
        is_recent = time.time() - taken.stat().st_mtime < SIGN_IN_SECONDS
        expected = taken.read_bytes()
    finally:
        taken.unlink()
    return hmac.compare_digest(expected, hashlib.sha256(token.encode()).digest()) and is_recent
