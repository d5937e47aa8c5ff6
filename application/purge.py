"""Purge what is overdue: expired images, uploads that died, deletions that could not be finished."""

from collections.abc import Awaitable, Callable
from dataclasses import astuple, dataclass
from datetime import datetime, timedelta
from operator import add
from typing import Final, Protocol

from application.delete_image import TAKE_OVER_AFTER, FinishDeletion, Finished
from application.ports.objects import ObjectStore
from application.ports.rows import UnitOfWork
from application.ports.system import Clock
from domain.errors import Overloaded
from domain.product import Product

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


@dataclass(frozen=True, slots=True)
class PurgeReport:
    """What one purge did, in images."""

    expired: int = 0
    interrupted: int = 0
    removed: int = 0
    left_for_later: int = 0
    erasures_completed: int = 0

    @property
    def is_stuck(self) -> bool:
        """There was work and none of it could be done. One image that cannot be deleted does not hold up the rest."""
        return self.left_for_later > 0 and self.removed == 0

    def __add__(self, other: "PurgeReport") -> "PurgeReport":
        return PurgeReport(*map(add, astuple(self), astuple(other)))


@dataclass(frozen=True, slots=True)
class PurgeOverdue:
    """Idempotent; any number may run at once and share the work, batch by batch."""

    work: UnitOfWork
    finish: FinishDeletion
    objects: ObjectStore
    time: TrustedTime
    renew: Callable[[], Awaitable[None]]
    """What is not overdue but will be needed for longer is copied at the same time."""
    batch_size: int = 200

    async def batch(self) -> PurgeReport:
        """One batch, oldest first. Raises: Overloaded when the database is down or no clock can be trusted."""
        now = await self.time.now()
        async with self.work.begin() as repositories:
            due = await repositories.images.mark_due_deleting(now, now + TAKE_OVER_AFTER, self.batch_size)
            completed = await repositories.erasures.complete_records(now)
            await repositories.erasures.sweep(now)
            released = await repositories.products.sweep(now)
            await repositories.images.release(released, now + Product.RELEASED_AFTER)
            await repositories.requests.sweep(now)
            await repositories.generations.sweep(now)
        finished = await self.finish.execute(due.images) if due.images else Finished(frozenset(), 0)
        return PurgeReport(
            expired=due.expired,
            interrupted=due.interrupted,
            removed=len(due.images) - len(finished.left),
            left_for_later=len(finished.left),
            erasures_completed=completed + finished.erasures_completed,
        )

    async def execute(self) -> PurgeReport:
        """Until nothing is overdue, or storage refuses a whole batch. Raises: Overloaded when it is down."""
        total = PurgeReport()
        while True:
            done = await self.batch()
            total += done
            if done.removed == 0:
                break
        if total.removed:
            await self.work.forget_history()
        await self.objects.sweep(await self.time.now())
        await self.renew()
        return total
