"""Ports to the rows of accounts: settings, keys, credits, and the audit log."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from domain.account import Account, AccountId, ApiKey, KeyId
from domain.audit import AuditEntry


@dataclass(frozen=True, slots=True)
class Credits:
    """`left`: try-ons that may still be started; `spent`: how many accounts have none."""

    left: int = 0
    spent: int = 0


class AccountRepository(Protocol):
    """Accounts and what is kept of their API keys."""

    async def add(self, account: Account) -> None:
        """Raises: AccountExists when the name is taken."""
        ...

    async def save(self, account: Account) -> None:
        """Keep changed settings of an account: its retention, its limits, whether it is active; not its credits."""
        ...

    async def take_credit(self, account_id: AccountId) -> bool:
        """Take one of the account's try-ons. Returns: False when it has no limit. Raises: InsufficientCredits."""
        ...

    async def credits_in_all(self) -> Credits:
        """Of all active accounts that have a limit."""
        ...

    async def set_credits(self, account_id: AccountId, credits_left: int | None) -> None:
        """None: no limit."""
        ...

    async def find(self, account_id: AccountId) -> Account | None: ...

    async def find_by_name(self, name: str) -> Account | None: ...

    async def hold_by_name(self, name: str) -> Account | None:
        """What is found does not change until the transaction ends."""
        ...

    async def list(self) -> tuple[Account, ...]: ...

    async def add_key(self, key: ApiKey) -> None: ...

    async def find_key(self, key_id: KeyId) -> tuple[ApiKey, Account] | None: ...

    async def list_keys(self, account_id: AccountId | None) -> tuple[ApiKey, ...]: ...

    async def save_key(self, key: ApiKey) -> None:
        """Keep a changed `revoked_at` or `expires_at`."""
        ...

    async def note_use_of_key(self, key: ApiKey, now: datetime) -> None:
        """Keep that it was used now, unless that was kept since `key` was read."""
        ...


class AuditRepository(Protocol):
    """The audit log. Nothing changes or removes an entry."""

    @property
    def added(self) -> Sequence[AuditEntry]:
        """In this transaction."""
        ...

    async def add(self, entry: AuditEntry) -> None: ...

    async def entries(
        self, since: datetime | None, account_id: AccountId | None, after: AuditEntry | None, limit: int
    ) -> tuple[AuditEntry, ...]:
        """Oldest first, from `since` on and after an entry that was read before."""
        ...
