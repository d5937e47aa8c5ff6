"""Erase a customer: everything that an account ever sent of one person, in every state (GDPR Art. 17).

Records of erasures are read here too, and applied again after a database was restored.
"""

from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from application.audit import audited, is_by_operator
from application.delete_images import TAKE_OVER_AFTER, FinishDeletion
from application.ports.rows import ImageToDelete, UnitOfWork
from application.ports.system import Clock, RandomSource
from domain.account import AccountId
from domain.customer import Customer
from domain.erasure import Action, ErasureRecord, Tombstone
from domain.errors import ErasureNotFound, ImageNotFound, Overloaded
from domain.generation import Failure
from domain.image import ErasureId, ImageId, is_id

PAGE: Final = 200
AT_ONCE: Final = 500
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


@dataclass(frozen=True, slots=True)
class RecordedErasure:
    """A record, and the ids of the images it took as long as a backup may still hold them."""

    record: ErasureRecord
    image_ids: tuple[ImageId, ...]


@dataclass(frozen=True, slots=True)
class ReadErasure:
    """How far an erasure is, for the account that asked for it."""

    work: UnitOfWork

    async def execute(self, erasure_id: ErasureId, account_id: AccountId) -> ErasureRecord:
        """Raises: ErasureNotFound: unknown, or another account's; Overloaded."""
        if not is_id(erasure_id):
            raise ErasureNotFound
        async with self.work.read() as repositories:
            record = await repositories.erasures.find_record(erasure_id)
        if record is None or record.account_id != account_id:
            raise ErasureNotFound
        return record


@dataclass(frozen=True, slots=True)
class ListErasures:
    """Records of erasures, newest first."""

    work: UnitOfWork

    async def execute(self, account_id: AccountId | None = None) -> AsyncIterator[RecordedErasure]:
        """Raises: Overloaded."""
        last: ErasureRecord | None = None
        while True:
            async with self.work.read() as repositories:
                page = await repositories.erasures.list_records(account_id, PAGE, older_than=last)
                entries = [
                    RecordedErasure(record, await repositories.erasures.images_of(record.erasure_id)) for record in page
                ]
            for entry in entries:
                yield entry
            if len(page) < PAGE:
                return
            last = page[-1]


@dataclass(frozen=True, slots=True)
class ReplayErasure:
    """Applies an erasure again: a database restored from a backup that is older has brought its images back."""

    work: UnitOfWork
    finish: FinishDeletion
    clock: Clock
    backup_retention: timedelta

    async def count(self, entry: RecordedErasure) -> int:
        """Returns: how many of the images are there again. Raises: Overloaded."""
        async with self.work.read() as repositories:
            return len(await repositories.images.objects_of(entry.image_ids))

    async def execute(self, entry: RecordedErasure) -> int:
        """Restores the record too, if it was lost with the database.

        Returns: how many of the images had come back and are unreachable now. Raises: Overloaded.
        """
        record = entry.record
        async with self.work.begin() as repositories:
            marked = await repositories.images.mark_known_deleting(entry.image_ids, self.clock.now() + TAKE_OVER_AFTER)
            is_lost = await repositories.erasures.find_record(record.erasure_id) is None
            if is_lost and await repositories.accounts.find(record.account_id):
                record = replace(record, completed_at=None) if marked else record
                forget_at = record.requested_at + self.backup_retention
                await repositories.erasures.open_record(record, entry.image_ids, forget_at)
            if marked:
                images, now = len(marked), self.clock.now()
                noted = audited(now, Action.ERASURE_REPLAYED, record.account_id, record.erasure_id, images=images)
                await repositories.audit.add(noted)
        await self.finish.execute(marked)
        return len(marked)
