"""Pseudonyms: keyed digests in place of customers' ids and idempotency keys, neither of which is kept."""

import base64
import hashlib
import hmac
from dataclasses import dataclass, field

from domain.account import AccountId
from domain.customer import MAX_EXTERNAL_ID_CHARS, Customer, is_external_id
from domain.image import IdempotencyRecord


@dataclass(frozen=True, slots=True)
class Pseudonyms:
    """HMAC-SHA-256 under a ring of keys: the first one makes what is written, any of them finds it again.

    The forms in which the version before this one wrote come last, never written: it may serve beside us during an
    upgrade, and an erasure has to find its rows as well.
    """

    ring: tuple[bytes, ...] = field(repr=False)

    def customer(self, account_id: AccountId, external_id: str) -> Customer:
        """Raises: ValueError: no such id can have been sent."""
        if not is_external_id(external_id):
            raise ValueError(f"an external user id has 1 to {MAX_EXTERNAL_ID_CHARS} characters")
        first, *others = (_pseudonym(key, account_id, external_id) for key in self.ring)
        return Customer(account_id, first, (*others, external_id))

    def request(self, account_id: AccountId, idempotency_key: str, request_digest: bytes) -> IdempotencyRecord:
        """Of the client's key and of all that its request holds, the customer's id included."""
        plain = IdempotencyRecord(hashlib.sha256(idempotency_key.encode()).digest(), request_digest)
        first, *others = (_keyed(key, account_id, plain) for key in self.ring)
        return IdempotencyRecord(first.key_digest, first.fingerprint, (*others, plain))

    def converted(self, account_id: AccountId, plain: IdempotencyRecord) -> IdempotencyRecord:
        """As it is written now, from what the version before wrote."""
        return _keyed(self.ring[0], account_id, plain)

    @property
    def prefixes(self) -> tuple[str, ...]:
        """What the pseudonyms of customers begin with, under each key of the ring."""
        return tuple(map(_prefix, self.ring))


def _prefix(key: bytes) -> str:
    return hmac.digest(key, b"key id", "sha256").hex()[: Customer.PREFIX_CHARS - 1] + "."


def _pseudonym(key: bytes, account_id: AccountId, external_id: str) -> str:
    digest = hmac.digest(key, f"customer\0{account_id}\0{external_id}".encode(), "sha256")
    return _prefix(key) + base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def _keyed(key: bytes, account_id: AccountId, plain: IdempotencyRecord) -> IdempotencyRecord:
    return IdempotencyRecord(
        hmac.digest(key, f"idempotency key\0{account_id}\0".encode() + plain.key_digest, "sha256"),
        hmac.digest(key, f"request\0{account_id}\0".encode() + plain.fingerprint, "sha256"),
    )
