"""The system's clocks and its random numbers."""

import secrets
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import msgspec

from domain.account import AccountId
from domain.errors import Overloaded
from domain.generation import GenerationId, LeaseId
from domain.image import ErasureId, ImageId

ID_BYTES = 18
"""144 bits, 24 URL-safe characters; the contract asks for at least 128 bits."""


class SystemRandomSource:
    """Every name is unguessable, so that knowing one tells nothing about another."""

    def image_id(self) -> ImageId:
        return ImageId("img_" + secrets.token_urlsafe(ID_BYTES))

    def erasure_id(self) -> ErasureId:
        return ErasureId("era_" + secrets.token_urlsafe(ID_BYTES))

    def account_id(self) -> AccountId:
        return AccountId("acc_" + secrets.token_urlsafe(ID_BYTES))

    def generation_id(self) -> GenerationId:
        return GenerationId("gen_" + secrets.token_urlsafe(ID_BYTES))

    def lease_id(self) -> LeaseId:
        return LeaseId("lea_" + secrets.token_urlsafe(ID_BYTES))

    def product_id(self) -> str:
        return "prd_" + secrets.token_urlsafe(ID_BYTES)

    def api_key(self) -> str:
        return f"gk_{secrets.token_hex(6)}_{secrets.token_urlsafe(24)}"

    def salt(self) -> bytes:
        return secrets.token_bytes(16)


class SystemClock:
    """Trusts the host to keep its clock right (NTP)."""

    def now(self) -> datetime:
        return datetime.now(UTC)


class ClockReference(msgspec.Struct, frozen=True):
    """How far the wall clock was ahead of the seconds since a boot when it was last trusted."""

    boot_id: str
    ahead_seconds: float


class WallClockJumps:
    """The reference lies in a file, so that a purge from the command line and the server have the same.

    The seconds since the boot also count while the machine sleeps (clock_gettime(2), CLOCK_BOOTTIME).
    """

    MAX_SECONDS: Final = 60.0

    def __init__(self, file: Path | None) -> None:
        """Without a file no jump is looked for: then the database has a clock of its own."""
        self._file = file

    def expect_none(self) -> None:
        trusted, now = self._trusted(), _reference()
        if trusted is None or trusted.boot_id != now.boot_id:
            self.trust()
            return
        jump = now.ahead_seconds - trusted.ahead_seconds
        if abs(jump) > self.MAX_SECONDS:
            message = f"The wall clock was set by {jump:+.0f} s; nothing is purged."
            raise Overloaded(
                message, cause="clock", advice=f"{message} If it is right now: tryon-images purge --trust-clock"
            )

    def trust(self) -> None:
        if self._file is not None:
            try:
                self._file.write_bytes(msgspec.json.encode(_reference()))
            except OSError as error:
                raise Overloaded("The data folder cannot be written.", cause="clock") from error

    def _trusted(self) -> ClockReference | None:
        if self._file is None:
            return None
        try:
            return msgspec.json.decode(self._file.read_bytes(), type=ClockReference)
        except (FileNotFoundError, msgspec.DecodeError):  # never written, or cut short by a crash
            return None
        except OSError as error:
            raise Overloaded("The data folder cannot be read.", cause="clock") from error


def _reference() -> ClockReference:
    boot_id = Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
    return ClockReference(boot_id, time.time() - time.clock_gettime(time.CLOCK_BOOTTIME))
