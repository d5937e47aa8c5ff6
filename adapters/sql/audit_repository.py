"""The audit log as rows that are only ever inserted and read."""

import secrets
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import insert, select, tuple_

from adapters.sql.sqlite_engine import SqlConnection
from adapters.sql.tables import audit_log
from domain.account import AccountId
from domain.audit import Action, AuditEntry

ID_BYTES = 16


class SqlAuditRepository:
    """Works inside the transaction of the connection it is given."""

    def __init__(self, connection: SqlConnection) -> None:
        self._connection = connection
        self.added: list[AuditEntry] = []

    async def add(self, entry: AuditEntry) -> None:
        await self._connection.execute(
            insert(audit_log).values(
                id="aud_" + secrets.token_urlsafe(ID_BYTES),
                at=entry.at,
                actor=entry.actor,
                action=entry.action,
                account_id=entry.account_id,
                subject=entry.subject,
                facts=msgspec.json.encode(entry.facts).decode(),
            )
        )
        self.added.append(entry)

    async def entries(
        self, since: datetime | None, account_id: AccountId | None, after: AuditEntry | None, limit: int
    ) -> tuple[AuditEntry, ...]:
        query = select(audit_log).order_by(audit_log.c.at, audit_log.c.id).limit(limit)
        if since is not None:
            query = query.where(audit_log.c.at >= since)
        if account_id is not None:
            query = query.where(audit_log.c.account_id == account_id)
        if after is not None:
            query = query.where(tuple_(audit_log.c.at, audit_log.c.id) > tuple_(after.at, after.entry_id))
        return tuple(_entry(row) for row in await self._connection.execute(query))


def _entry(row: Any) -> AuditEntry:
    return AuditEntry(
        entry_id=row.id,
        at=row.at,
        actor=row.actor,
        action=Action(row.action),
        account_id=AccountId(row.account_id) if row.account_id is not None else None,
        subject=row.subject,
        facts=msgspec.json.decode(row.facts),
    )
