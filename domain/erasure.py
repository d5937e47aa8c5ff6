"""The erasure of a customer: the promise, the marker that keeps it against uploads in flight, the record that stays."""

import hashlib
import hmac
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import ClassVar, Self

from domain.account import AccountId, Beginning
from domain.customer import Customer
from domain.image import ErasureId


@dataclass(frozen=True, slots=True, kw_only=True)
class Tombstone:
    """Stops uploads that began before an erasure and had not yet said whose they are.

    It holds a salted digest of the customer's pseudonym and lives only as long as such an upload could: a digest of a
    person's id is still personal data (EDPB, February 2026), so it is swept and never part of the audit record.
    """

    TOLERANCE: ClassVar = timedelta(seconds=2)
    """By how much the clocks of a proxy and of replicas may differ, and a commit may take: in the erasure's favor."""

    erasure_id: ErasureId
    account_id: AccountId
    epoch: int
    salt: bytes
    digest: bytes
    expires_at: datetime
    erased_at: datetime | None
    """Just before the commit; None in rows of a version that did not know it."""

    @classmethod
    def of(
        cls,
        customer: Customer,
        *,
        erasure_id: ErasureId,
        epoch: int,
        salt: bytes,
        expires_at: datetime,
        erased_at: datetime,
    ) -> Self:
        return cls(
            erasure_id=erasure_id,
            account_id=customer.account_id,
            epoch=epoch,
            salt=salt,
            digest=_digest(salt, customer.pseudonym),
            expires_at=expires_at,
            erased_at=erased_at,
        )

    def is_after(self, beginning: Beginning) -> bool:
        """Whether a request that began then was on its way when the erasure was committed."""
        if beginning.at is None or self.erased_at is None:
            return self.epoch > beginning.epoch
        return self.epoch > beginning.epoch or beginning.at < self.erased_at + self.TOLERANCE

    def covers(self, customer: Customer) -> bool:
        digests = [_digest(self.salt, pseudonym) for pseudonym in customer.pseudonyms]
        return customer.account_id == self.account_id and any(hmac.compare_digest(self.digest, it) for it in digests)


def _digest(salt: bytes, pseudonym: str) -> bytes:
    return hashlib.sha256(salt + pseudonym.encode()).digest()


@dataclass(frozen=True, slots=True, kw_only=True)
class ErasureRecord:
    """What remains of an erasure: random ids, times and counts, nothing derived from the person's id."""

    OF_NOTHING_KEPT_FOR: ClassVar = timedelta(days=30)
    """A record of an erasure that found nothing proves nothing, and anybody can make as many as they like."""

    erasure_id: ErasureId
    account_id: AccountId
    requested_at: datetime
    image_count: int
    completed_at: datetime | None = None

    def is_forgotten(self, now: datetime) -> bool:
        return self.image_count == 0 and now >= self.requested_at + self.OF_NOTHING_KEPT_FOR
