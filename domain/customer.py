"""The end user of a merchant's shop: the opaque id that the merchant chose, and what stands for it here."""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field
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

    `pseudonym` is what rows carry; `others` may stand in rows that are there already (`domain.pseudonyms` makes both).
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
