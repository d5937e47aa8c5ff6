"""The key that preview links are signed with: from the settings, or made once and kept in the data folder."""

import os
import secrets

from entrypoints.wiring.settings import Settings

FILE_NAME = "signing.key"


def signing_key(settings: Settings) -> bytes:
    """At least 32 bytes. Any number of processes may ask at once; all of them get the same key."""
    if settings.signing_key is not None:
        return settings.signing_key.encode()
    path = settings.data_dir / FILE_NAME
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_name(f"{FILE_NAME}.{secrets.token_hex(8)}")
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_urlsafe(48))
        try:
            os.link(draft, path)  # unlike a rename, never replaces the key of a process that was faster
        except FileExistsError:
            return path.read_bytes()
        finally:
            draft.unlink()
    return path.read_bytes()
