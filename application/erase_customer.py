"""Erase a customer: everything that an account ever sent of one person, in every state (GDPR Art. 17)."""

from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta

from application.audit import audited, is_by_operator
from application.delete_image import TAKE_OVER_AFTER, FinishDeletion
from application.ports.rows import ImageToDelete, UnitOfWork
from application.ports.system import Clock, RandomSource
from domain.audit import Action
from domain.customer import Customer
from domain.erasure import ErasureRecord, Tombstone
from domain.errors import ImageNotFound, Overloaded
from domain.generation import Failure
from domain.image import ErasureId

AT_ONCE = 500
"""How many images a caller waits for. A shop that gives all its guests one id may erase a hundred thousand."""


@dataclass(frozen=True, slots=True)
class ErasureOutcome:
    """`bytes_left`: that many images are unreachable but their bytes may still be there: storage is down, or they are
    too many to wait for. They go as soon as they can.
    """

    erasure_id: ErasureId
    requested_at: datetime
    marked: tuple[ImageToDelete, ...]
    bytes_left: int

    @property
    def images(self) -> int:
        return len(self.marked)

    @property
    def status(self) -> str:
        """As the contract says it."""
        return "ERASING" if self.bytes_left else "ERASED"


@dataclass(frozen=True, slots=True)
class EraseCustomer:
    """Final from the commit on: uploads that began before it do not survive it, whenever they finish."""

    work: UnitOfWork
    finish: FinishDeletion
    clock: Clock
    random: RandomSource
    backup_retention: timedelta
    longest_upload: timedelta
    """From the look at its key to the reservation of its row: until then a tombstone has to stop it."""

    async def execute(self, customer: Customer) -> ErasureOutcome:
        """Raises: Overloaded: the database is down and nothing has happened yet."""
        erasure_id, now = self.random.erasure_id(), self.clock.now()
        async with self.work.begin() as repositories:
            await repositories.erasures.serialize(customer)
            epoch = await repositories.erasures.advance_epoch(customer.account_id)
            gone = Failure(ImageNotFound.code, str(ImageNotFound()))
            await repositories.generations.fail_customer(customer, gone, now)
            await repositories.requests.erase(customer)
            marked = await repositories.images.mark_customer_deleting(customer, erasure_id, now, now + TAKE_OVER_AFTER)
            record = ErasureRecord(
                erasure_id=erasure_id,
                account_id=customer.account_id,
                requested_at=now,
                image_count=len(marked),
            )
            ids = [image.image_id for image in marked]
            await repositories.erasures.open_record(record, ids, now + self.backup_retention)
            if marked or is_by_operator():  # clients may ask for anybody as often as they like
                entry = audited(now, Action.CUSTOMER_ERASED, customer.account_id, erasure_id, images=len(marked))
                await repositories.audit.add(entry)
            erased_at = self.clock.now()  # the commit is next: it may have waited for locks and for a million rows
            await repositories.erasures.add_tombstone(
                Tombstone.of(
                    customer,
                    erasure_id=erasure_id,
                    epoch=epoch,
                    salt=self.random.salt(),
                    expires_at=erased_at + self.longest_upload,
                    erased_at=erased_at,
                )
            )
        return ErasureOutcome(erasure_id, now, marked, await self._finish(marked))

    async def _finish(self, marked: tuple[ImageToDelete, ...]) -> int:
        """Returns: how many images' bytes may still be there. The erasure is committed: no outage undoes it."""
        try:
            left = (await self.finish.execute(marked[:AT_ONCE])).left
            with suppress(Overloaded):  # the next purge does it
                await self.work.forget_history()
        except Overloaded:
            return len(marked)
        return len(left) + len(marked[AT_ONCE:])
