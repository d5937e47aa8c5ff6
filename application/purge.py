"""Purge what is overdue: expired images, uploads that died, deletions that could not be finished."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta

from application.ports.objects import ObjectStore
from application.ports.rows import ImageToDelete, UnitOfWork
from application.ports.system import Clock
from application.trusted_time import TrustedTime
from domain.image import ImageId
from domain.product import Product

TAKE_OVER_AFTER = timedelta(minutes=1)
"""How long a purger leaves an image to whoever is deleting it just now."""


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
        return PurgeReport(
            self.expired + other.expired,
            self.interrupted + other.interrupted,
            self.removed + other.removed,
            self.left_for_later + other.left_for_later,
            self.erasures_completed + other.erasures_completed,
        )


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
