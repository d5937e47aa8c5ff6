"""The machine: its clocks, random numbers, free disk, and raw files; and how often somebody asked this process."""

import asyncio
import os
import secrets
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO, Final

import msgspec

from application.ports.objects import RawSearch
from domain.account import AccountId, Allowance, RateLimit
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


BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")


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
        if now is None:
            return
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
        now = _reference()
        if self._file is None or now is None:
            return
        try:
            self._file.write_bytes(msgspec.json.encode(now))
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


def _reference() -> ClockReference | None:
    """None where the system does not tell one boot from another, as macOS does not: no jump is looked for there."""
    try:
        boot_id = BOOT_ID.read_text("ascii").strip()
    except OSError:
        return None
    return ClockReference(boot_id, time.time() - time.clock_gettime(time.CLOCK_BOOTTIME))


BLOCK_BYTES = 4 * 1024**2


@dataclass(frozen=True, slots=True)
class LocalFiles:
    """`places` says anew at each search which folders and files there are; what is not there holds nothing."""

    places: Callable[[], Iterable[Path]]

    async def search(self, needles: Sequence[bytes]) -> RawSearch:
        return await asyncio.to_thread(self._search, needles)

    def _search(self, needles: Sequence[bytes]) -> RawSearch:
        files, size_bytes, hits, unread = 0, 0, list[str](), list[str]()

        def note(error: OSError) -> None:
            if not isinstance(error, FileNotFoundError | NotADirectoryError):  # gone meanwhile, and all that it held
                unread.append(str(error.filename))

        places = {place.absolute() for place in self.places()}
        for path in sorted(places.union(*(_names_under(place, note) for place in places))):
            try:
                if not path.is_file() or (path.is_symlink() and path not in places):  # a pipe would be waited for
                    continue
                with path.open("rb") as file:
                    found, size = _look_into(file, needles)
            except OSError as error:
                note(OSError(error.errno, error.strerror, str(path)))  # of a read, it names no file
                continue
            files, size_bytes = files + 1, size_bytes + size
            if found:
                hits.append(str(path))
        return RawSearch(files, size_bytes, tuple(hits), tuple(unread))


def _names_under(place: Path, note: Callable[[OSError], None]) -> Iterator[Path]:
    """Of whatever is not a folder; `note` hears of folders that cannot be read."""
    for folder, _, names in os.walk(place, onerror=note):
        yield from (Path(folder) / name for name in names)


def _look_into(file: BinaryIO, needles: Sequence[bytes]) -> tuple[bool, int]:
    """Whether the file holds one of the needles, and its size; blocks overlap by the longest needle."""
    overlap, tail, size, found = max(map(len, needles), default=1) - 1, b"", 0, False
    while block := file.read(BLOCK_BYTES):
        size += len(block)
        window = tail + block
        found = found or any(needle in window for needle in needles)
        tail = window[-overlap:] if overlap else b""
    return found, size


RETRY_AFTER_SECONDS: Final = 60
"""A full disk seldom has room again within moments."""


class LocalDiskReserve:
    """Room that uploads may not take, so that an erasure always has some: of the file systems that `folders` are on.

    No folders, or nothing to reserve: always there.
    """

    def __init__(self, folders: Iterable[Path], reserve_bytes: int) -> None:
        self._folders = tuple(folders) if reserve_bytes else ()
        self._reserve_bytes = reserve_bytes

    async def expect(self) -> None:
        """Raises: Overloaded. In a thread: a lost network disk does not answer."""
        if self._folders and not await asyncio.to_thread(self._is_there):
            raise Overloaded(
                "There is no room for more photos. Try again later.",
                RETRY_AFTER_SECONDS,
                cause="disk_full",
                advice=f"Less than {self._reserve_bytes / 1024**2:.0f} MB are free (TRYON_DISK_RESERVE_MB).",
            )

    def _is_there(self) -> bool:
        try:
            return all(_free_bytes(folder) >= self._reserve_bytes for folder in self._folders)
        except OSError:
            return False


def _free_bytes(folder: Path) -> int:
    """Of what this process may use. A folder that is yet to be made is on the disk of its parent."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    system = os.statvfs(folder)
    return system.f_bavail * system.f_frsize


_SWEEP_AT: Final = 10_000  # buckets; full ones say nothing and are forgotten then


class ProcessRateLimiter:
    """Of one server process: a number per account and bucket. Goes by the monotonic clock: no operator's or NTP's jump
    grants or refuses.
    """

    def __init__(self, now_us: Callable[[], int] = lambda: time.monotonic_ns() // 1000) -> None:
        self._now_us = now_us
        self._full_at: dict[tuple[AccountId, str], int] = {}

    async def take(self, account_id: AccountId, bucket: str, limit: RateLimit) -> Allowance:
        now = self._now_us()
        full_at = self._full_at.get((account_id, bucket), 0)
        if not limit.admits(full_at, now):
            return limit.allowance(full_at, now, is_granted=False)
        if len(self._full_at) >= _SWEEP_AT:
            self._full_at = {key: at for key, at in self._full_at.items() if at > now}
        full_at = self._full_at[account_id, bucket] = limit.after(full_at, now)
        return limit.allowance(full_at, now, is_granted=True)
