"""The time by which photos are destroyed: the database's, for as long as nothing speaks against it."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Protocol

from application.ports.system import Clock
from domain.errors import Overloaded

MAX_DIFFERENCE: Final = timedelta(seconds=5)


class DatabaseTime(Protocol):
    """The clock of the database's machine, which all replicas share."""

    async def now(self) -> datetime:
        """Raises: Overloaded."""
        ...


class ClockJumps(Protocol):
    """Compares the wall clock with one that nobody can set."""

    def expect_none(self) -> None:
        """Raises: Overloaded: the wall clock was set by more than a minute since it was last trusted."""
        ...

    def trust(self) -> None:
        """Take the wall clock as it is now for right."""
        ...


@dataclass(frozen=True, slots=True)
class TrustedTime:
    """A clock two days ahead would delete every photo that is kept for a day: then nothing is deleted."""

    clock: Clock
    database: DatabaseTime
    jumps: ClockJumps

    async def now(self) -> datetime:
        """Raises: Overloaded: the clocks differ, or one of them cannot be asked."""
        self.jumps.expect_none()
        before, theirs, after = self.clock.now(), await self.database.now(), self.clock.now()
        off_by = max(before - theirs, theirs - after)
        if off_by > MAX_DIFFERENCE:
            message = f"This clock and the database's differ by {off_by.total_seconds():.0f} s; nothing is purged."
            raise Overloaded(message, cause="clock", advice=f"{message} Set both by NTP (chrony, timesyncd).")
        return theirs

    async def check(self) -> None:
        """Raises: Overloaded."""
        await self.now()
