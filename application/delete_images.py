"""Delete images: the one that its account names, those marked for deletion, and all that is overdue (the purge)."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import astuple, dataclass
from datetime import datetime, timedelta
from operator import add
from typing import Final, Protocol

from application.audit import audited, is_by_operator
from application.ports.objects import ObjectStore
from application.ports.rows import ImageToDelete, UnitOfWork
from application.ports.system import Clock
from domain.account import AccountId
from domain.erasure import Action
from domain.errors import Overloaded
from domain.image import ImageId, is_id
from domain.product import Product

TAKE_OVER_AFTER = timedelta(minutes=1)
"""A purger leaves an image for so long to the request that is deleting it."""


@dataclass(frozen=True, slots=True)
class Finished:
    """`left`: the images whose objects may still be there; a purger tries them again."""

    left: frozenset[ImageId]
    erasures_completed: int


@dataclass(frozen=True, slots=True)
class FinishDeletion:
    """The last two steps of every deletion: the object goes, then the row."""

    objects: ObjectStore
    work: UnitOfWork
    clock: Clock

    async def execute(self, marked: Sequence[ImageToDelete]) -> Finished:
        """Raises: Overloaded: the database is down; every row that is left is a purger's work."""
        left = await self.objects.delete([image.object_name for image in marked])
        async with self.work.begin() as repositories:
            await repositories.images.remove(
                [image.image_id for image in marked if image.object_name not in left and not image.is_in_flight]
            )
            completed = await repositories.erasures.complete_records(self.clock.now())
        return Finished(frozenset(image.image_id for image in marked if image.object_name in left), completed)


@dataclass(frozen=True, slots=True)
class DeleteImage:
    """Unreachable at once; an outage delays only the bytes. Deleting twice is the same as deleting once."""

    work: UnitOfWork
    finish: FinishDeletion
    clock: Clock

    async def execute(self, image_id: ImageId, account_id: AccountId) -> None:
        """Raises: Overloaded: the image is unreachable (if the database was there) but its bytes may still exist."""
        if not is_id(image_id):
            return
        async with self.work.begin() as repositories:
            now = self.clock.now()
            marked = await repositories.images.mark_deleting(image_id, account_id, now + TAKE_OVER_AFTER)
            if marked is not None and is_by_operator():
                await repositories.audit.add(audited(now, Action.IMAGE_DELETED, account_id, image_id))
        if marked is not None and (await self.finish.execute((marked,))).left:
            raise Overloaded("Storage is not reachable. The image is unreachable and its bytes go when it is back.")


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
    """Purge expired images, uploads that died, and deletions that could not be finished.

    Idempotent; any number may run at once and share the work, batch by batch.
    """

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
