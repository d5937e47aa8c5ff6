"""Entries of the audit log: made inside the transaction of what they tell of, and read again."""

from collections.abc import AsyncIterator
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from application.ports.rows import UnitOfWork
from application.ports.system import Clock
from domain.account import AccountId
from domain.erasure import Action, AuditEntry, Fact

PAGE: Final = 500
USER: Final = "user "
"""Begins the name of an actor at the command line."""
_actor: ContextVar[str] = ContextVar("actor", default="service")


def act_as(actor: str) -> None:
    """From now on, in this task and those that it starts, this one does what is done."""
    _actor.set(actor)


def is_by_operator() -> bool:
    """Whether the command line does it. What clients do all day is entered only where it changes something for good."""
    return _actor.get().startswith(USER)


def audited(
    at: datetime, action: Action, account_id: AccountId | None = None, subject: str | None = None, **facts: Fact
) -> AuditEntry:
    """An entry on what is being done now, for `Repositories.audit`."""
    return AuditEntry(at=at, actor=_actor.get(), action=action, account_id=account_id, subject=subject, facts=facts)


@dataclass(frozen=True, slots=True)
class NoteInAudit:
    """For what changes no row that could be part of the same transaction: noted before it is done."""

    work: UnitOfWork
    clock: Clock

    async def execute(
        self, action: Action, account_id: AccountId | None = None, subject: str | None = None, **facts: Fact
    ) -> None:
        """Raises: Overloaded."""
        async with self.work.begin() as repositories:
            await repositories.audit.add(audited(self.clock.now(), action, account_id, subject, **facts))


@dataclass(frozen=True, slots=True)
class ReadAudit:
    """Oldest first."""

    work: UnitOfWork

    async def execute(self, since: datetime | None, account_id: AccountId | None) -> AsyncIterator[AuditEntry]:
        """Raises: Overloaded."""
        last: AuditEntry | None = None
        while True:
            async with self.work.read() as repositories:
                page = await repositories.audit.entries(since, account_id, last, PAGE)
            for entry in page:
                yield entry
            if len(page) < PAGE:
                return
            last = page[-1]
