"""The end user of a merchant's shop: the opaque id that the merchant chose, and the digests kept instead."""

import base64
import hashlib
import hmac
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import ClassVar, Final

from domain.account import AccountId

MAX_EXTERNAL_ID_CHARS: Final = 256
EXTERNAL_ID_HAS: Final = f"1 to {MAX_EXTERNAL_ID_CHARS} characters, none of them NUL"
_PLACEHOLDER: Final = re.compile(
    r"(?:^|[/:])\s*(?:undefined|null|NaN|None|\(null\)|<nil>)\s*(?:$|[/:])"  # also inside gid://shop/Customer/undefined
    r"|\[object [\w ]+\]|\{\{.*\}\}|[$#%]\{.*\}|<%.*%>|^<null>$"
    r"|^gid://[^/]*/[^/]*/?$"  # a template that was filled in with nothing, for a shopper who is not logged in
)
_BLANK: Final = frozenset({"Zs", "Zl", "Zp", "Cf"})


@dataclass(frozen=True, slots=True)
class Customer:
    """One person in one account; the subject of an erasure (GDPR Art. 17).

    `pseudonym` is what rows carry; `others` may stand in rows that are there already (`Pseudonyms` makes both).
    """

    PREFIX_CHARS: ClassVar = 9
    PSEUDONYM_CHARS: ClassVar = PREFIX_CHARS + 43
    """Eight that name the key, a dot, and a digest of 32 bytes in base64."""

    account_id: AccountId
    pseudonym: str
    others: tuple[str, ...] = field(default=(), compare=False)

    @property
    def pseudonyms(self) -> tuple[str, ...]:
        return (self.pseudonym, *self.others)

    def is_same(self, other: "Customer") -> bool:
        return self.account_id == other.account_id and not set(self.pseudonyms).isdisjoint(other.pseudonyms)

    def is_under_other_keys(self, prefixes: Sequence[str]) -> bool:
        """Whether the pseudonym was made with none of the keys that make these prefixes."""
        is_one = len(self.pseudonym) == self.PSEUDONYM_CHARS and self.pseudonym[self.PREFIX_CHARS - 1] == "."
        return is_one and not self.pseudonym.startswith(tuple(prefixes))

    def __repr__(self) -> str:
        """What stands for a person is personal data: it must not reach a log or a traceback by way of a repr."""
        return f"Customer(account_id={self.account_id!r})"


def is_external_id(text: str) -> bool:
    """Of a customer or a product. PostgreSQL cannot store NUL, and an erasure must find what was sent."""
    return 1 <= len(text) <= MAX_EXTERNAL_ID_CHARS and "\0" not in text


def is_text(external_id: str) -> bool:
    """Whether it holds neither control characters, as a line end that a shell left there, nor half characters."""
    return not any(unicodedata.category(character) in {"Cc", "Cs"} for character in external_id)


def external_id_problem(text: str) -> str | None:
    """What is wrong with an id that a client sends, for the client; None when nothing is.

    Stricter than `is_external_id`, which also holds for what was kept before these rules.
    """
    if not is_external_id(text):
        return f"must have {EXTERNAL_ID_HAS}"
    if not is_text(text):
        return "must not hold control characters or half a character (a lone surrogate)"
    return unusable_id_problem(text)


def unusable_id_problem(text: str) -> str | None:
    """What keeps an id from naming one person or product; None when nothing does.

    A placeholder or a blank would put every shopper under one id; an id that no path can carry would be out of reach of
    an erasure.
    """
    if not text.strip("/") or text in {".", ".."}:
        return 'must not be ".", ".." or made of slashes alone: no URL path can carry it'
    if all(unicodedata.category(character) in _BLANK for character in text):
        return "must not be blank; without an id leave the field out"
    if _PLACEHOLDER.search(text):
        return "is a placeholder that the client did not fill in; without an id leave the field out"
    return None


@dataclass(frozen=True, slots=True)
class IdempotencyRecord:
    """What lets a repeated request be recognised: keyed digests of the client's key and of the request it came with.

    `others`: the same under the other keys of the ring, for rows that are there already (`Pseudonyms`).
    An upload's lives on the image's own row, so it cannot outlive the image; all others have rows of their own.
    Source: IETF draft-ietf-httpapi-idempotency-key-header-07.
    """

    LIFETIME: ClassVar = timedelta(hours=24)

    key_digest: bytes
    fingerprint: bytes
    others: tuple["IdempotencyRecord", ...] = field(default=(), compare=False)

    @property
    def key_digests(self) -> tuple[bytes, ...]:
        return (self.key_digest, *(other.key_digest for other in self.others))

    def is_same_request(self, kept: "IdempotencyRecord") -> bool:
        """Whether the request that came with this key now is the one that came with it before."""
        return kept == self or kept in self.others


@dataclass(frozen=True, slots=True)
class Pseudonyms:
    """Keyed digests in place of customers' ids and idempotency keys, neither of which is kept.

    HMAC-SHA-256 under a ring of keys: the first one makes what is written, any of them finds it again.

    The forms in which the version before this one wrote come last, never written: it may serve beside us during an
    upgrade, and an erasure has to find its rows as well.
    """

    ring: tuple[bytes, ...] = field(repr=False)

    def customer(self, account_id: AccountId, external_id: str) -> Customer:
        """Raises: ValueError: no such id can have been sent."""
        if not is_external_id(external_id):
            raise ValueError(f"an external user id has {EXTERNAL_ID_HAS}")
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
