"""Erase a customer: everything that an account ever sent of one person, in every state (GDPR Art. 17)."""

from dataclasses import dataclass
from datetime import timedelta

from application.ports import Clock, RandomSource, UnitOfWork
from application.purge import TAKE_OVER_AFTER, FinishDeletion
from domain.customer import Customer
from domain.erasure import ErasureRecord, Tombstone
from domain.errors import ImageNotFound
from domain.generation import Failure
from domain.image import ErasureId, ImageId


@dataclass(frozen=True, slots=True)
class ErasureOutcome:
    """`bytes_left`: storage is down; that many images are unreachable, and their bytes go as soon as it is back."""

    erasure_id: ErasureId
    images: int
    bytes_left: int


@dataclass(frozen=True, slots=True)
class EraseCustomer:
    """Final from the commit on: uploads that began before it do not survive it, whenever they finish."""

    work: UnitOfWork
    finish: FinishDeletion
    clock: Clock
    random: RandomSource
    backup_retention: timedelta

    async def execute(self, customer: Customer) -> ErasureOutcome:
        """Raises: Overloaded: the database is down and nothing has happened yet."""
        erasure_id, now = self.random.erasure_id(), self.clock.now()
        async with self.work.begin() as repositories:
            await repositories.erasures.serialize(customer)
            epoch = await repositories.erasures.advance_epoch(customer.account_id)
            await repositories.erasures.add_tombstone(
                Tombstone.of(customer, erasure_id=erasure_id, epoch=epoch, salt=self.random.salt(), now=now)
            )
            gone = Failure(ImageNotFound.code, str(ImageNotFound()))
            await repositories.generations.fail_customer(customer, gone, now)
            doomed = await repositories.images.doom_customer(customer, erasure_id, now, now + TAKE_OVER_AFTER)
            record = ErasureRecord(
                erasure_id=erasure_id,
                account_id=customer.account_id,
                requested_at=now,
                image_count=len(doomed),
            )
            ids = [image.image_id for image in doomed]
            await repositories.erasures.open_record(record, ids, now + self.backup_retention)
        left = await self.finish.execute(doomed)
        return ErasureOutcome(erasure_id, len(doomed), len(left))


@dataclass(frozen=True, slots=True)
class ReplayErasures:
    """Apply past erasures again after a database was restored from a backup that is older than they are."""

    work: UnitOfWork
    finish: FinishDeletion
    clock: Clock

    async def execute(self, image_ids: tuple[ImageId, ...]) -> int:
        """Returns: how many of the images had come back and are deleted now. Raises: Overloaded."""
        async with self.work.begin() as repositories:
            doomed = await repositories.images.doom_known(image_ids, self.clock.now() + TAKE_OVER_AFTER)
        await self.finish.execute(doomed)
        return len(doomed)
