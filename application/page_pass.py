"""Passes of the page at `/`: signed, and good for a few hours on a machine of one's own."""

import hashlib
import hmac
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from application.ports.system import Clock

PREFIX: Final = "pass_"
LIFETIME: Final = timedelta(hours=8)
MAX_DIGITS: Final = 12
"""Of an instant in Unix seconds: longer ones are no date."""


@dataclass(frozen=True, slots=True)
class PagePass:
    """Stands in for an API key of the default account, so that nobody has to copy a key to try the page."""

    signing_key: bytes
    clock: Clock

    def issue(self) -> str:
        """`pass_<expiry in Unix seconds>_<signature>`."""
        expires = str(int((self.clock.now() + LIFETIME).timestamp()))
        return f"{PREFIX}{expires}_{self._signature(expires)}"

    def is_valid(self, presented: str) -> bool:
        """Whether we signed it and it is not over; the signature is compared in constant time."""
        expires, _, signature = presented.removeprefix(PREFIX).partition("_")
        if not (
            presented.startswith(PREFIX) and expires.isascii() and expires.isdigit() and len(expires) <= MAX_DIGITS
        ):
            return False
        is_ours = hmac.compare_digest(self._signature(expires).encode(), signature.encode())
        return is_ours and self.clock.now() < datetime.fromtimestamp(int(expires), UTC)

    def _signature(self, expires: str) -> str:
        return hmac.new(self.signing_key, f"page pass\0{expires}".encode(), hashlib.sha256).hexdigest()
