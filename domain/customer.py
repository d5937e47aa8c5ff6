"""The end user of a merchant's shop, known to us only by the opaque id that the merchant chose."""

import re
import unicodedata
from dataclasses import dataclass
from typing import Final

from domain.account import AccountId

MAX_EXTERNAL_ID_CHARS: Final = 256
_PLACEHOLDER: Final = re.compile(
    r"(?:^|[/:])\s*(?:undefined|null|NaN|None|\(null\)|<nil>)\s*(?:$|[/:])"  # also inside gid://shop/Customer/undefined
    r"|\[object [\w ]+\]|\{\{.*\}\}|\$\{.*\}|<%.*%>"
)


@dataclass(frozen=True, slots=True)
class Customer:
    """One person in one account; the subject of an erasure (GDPR Art. 17). The id is compared byte for byte."""

    account_id: AccountId
    external_id: str

    def __post_init__(self) -> None:
        if not is_external_id(self.external_id):
            raise ValueError(f"an external user id has 1 to {MAX_EXTERNAL_ID_CHARS} characters")

    def __repr__(self) -> str:
        """The external id is personal data: it must not reach a log or a traceback by way of a repr."""
        return f"Customer(account_id={self.account_id!r})"


def is_external_id(text: str) -> bool:
    """1 to 256 characters; NUL is refused because PostgreSQL cannot store it (an erasure must find what was sent)."""
    return 1 <= len(text) <= MAX_EXTERNAL_ID_CHARS and "\0" not in text


def is_text(external_id: str) -> bool:
    """Whether it holds neither control characters, as a line end that a shell left there, nor half characters."""
    return not any(unicodedata.category(character) in {"Cc", "Cs"} for character in external_id)


def external_id_problem(text: str) -> str | None:
    """What is wrong with an id that a client sends, for the client; None when nothing is.

    Stricter than `is_external_id`, which also holds for what was kept before these rules. A placeholder would put every
    shopper under one id; an id that no path can carry would be out of reach of an erasure.
    """
    if not is_external_id(text):
        return f"must have 1 to {MAX_EXTERNAL_ID_CHARS} characters, none of them NUL"
    if not is_text(text):
        return "must not hold control characters or half a character (a lone surrogate)"
    if not text.strip("/") or text in {".", ".."}:
        return 'must not be ".", ".." or made of slashes alone: no URL path can carry it'
    if _PLACEHOLDER.search(text):
        return "is a placeholder that the client did not fill in, not the id of a person; leave the field out instead"
    return None
