"""The end user of a merchant's shop, known to us only by the opaque id that the merchant chose."""

from dataclasses import dataclass

from domain.account import AccountId

MAX_EXTERNAL_ID_CHARS = 256


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
