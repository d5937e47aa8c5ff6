"""Erasure of a customer: the marker that keeps it against uploads in flight, and the records that stay."""

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
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


Fact = str | int | bool | None


class Action(StrEnum):
    """What is entered. Codes never change: exports are read by other programs."""

    ACCOUNT_CREATED = "account_created"
    ACCOUNT_CHANGED = "account_changed"
    ACCOUNT_DELETED = "account_deleted"
    CREDITS_SET = "credits_set"
    KEY_CREATED = "key_created"
    KEY_ROTATED = "key_rotated"
    KEY_REVOKED = "key_revoked"
    CUSTOMER_ERASED = "customer_erased"
    CUSTOMER_SHOWN = "customer_shown"
    CUSTOMER_EXPORTED = "customer_exported"
    ERASURE_REPLAYED = "erasure_replayed"
    IMAGES_UPLOADED = "images_uploaded"
    IMAGE_SHOWN = "image_shown"
    IMAGE_DELETED = "image_deleted"
    CLOCK_TRUSTED = "clock_trusted"
    STORAGE_REPAIRED = "storage_repaired"
    STORAGE_SET_UP = "storage_set_up"
    SCHEMA_UPGRADED = "schema_upgraded"
    EVIDENCE_COLLECTED = "evidence_collected"


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEntry:
    """What was done to an account, key or person, by whom and when. It names no customer and holds no key.

    `actor`: `user NAME (UID)` of the command line, `key KEY_ID` of a client, or what it had in place of a key's id, or
    `service`. `subject`: the id of the key, erasure or image that is meant. `facts`: counts, limits, scopes. `entry_id`
    is given when the entry is kept.
    """

    at: datetime
    actor: str
    action: Action
    account_id: AccountId | None
    subject: str | None
    facts: Mapping[str, Fact]
    entry_id: str = ""
