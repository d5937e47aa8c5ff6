"""Requests with an idempotency key as rows."""

from datetime import datetime
from typing import Any

from sqlalchemy import Integer, Text, cast, delete, select, update
from sqlalchemy.dialects import postgresql, sqlite

from adapters.sql.engines import SqlConnection
from adapters.sql.tables import idempotency_keys as kept
from application.ports.try_on_rows import KeptRequest
from domain.account import AccountId
from domain.customer import Customer
from domain.image import IdempotencyRecord


class SqlRequestRepository:
    """Works inside the transaction of the connection it is given."""

    def __init__(self, connection: SqlConnection) -> None:
        self._connection = connection

    async def add(self, request: KeptRequest, now: datetime) -> KeptRequest | None:
        dialect = postgresql if self._connection.dialect.name == "postgresql" else sqlite
        values = {
            "fingerprint": request.record.fingerprint,
            "customer_id": request.customer.pseudonym if request.customer else None,
            "result": None,
            "due_at": request.due_at,
        }
        if (earlier := await self._under_another_key(request, now)) is not None:
            return earlier
        row = dialect.insert(kept).values(account_id=request.account_id, key_digest=request.record.key_digest, **values)
        taken = await self._connection.execute(
            row.on_conflict_do_update(
                index_elements=[kept.c.account_id, kept.c.key_digest], set_=values, where=kept.c.due_at <= now
            ).returning(kept.c.due_at)
        )
        if taken.one_or_none() is not None:
            return None
        return _request((await self._connection.execute(select(kept).where(*_of(request)))).one())

    async def _under_another_key(self, request: KeptRequest, now: datetime) -> KeptRequest | None:
        others = kept.c.key_digest.in_([other.key_digest for other in request.record.others])
        query = select(kept).where(kept.c.account_id == request.account_id, others, kept.c.due_at > now)
        row = (await self._connection.execute(query)).first()
        return _request(row) if row else None

    async def is_kept(self, account_id: AccountId, record: IdempotencyRecord, now: datetime) -> bool:
        query = select(kept.c.due_at).where(kept.c.account_id == account_id, kept.c.due_at > now)
        rows = await self._connection.execute(query.where(kept.c.key_digest.in_(record.key_digests)))
        return rows.first() is not None

    async def finish(self, request: KeptRequest, result: str, due_at: datetime) -> None:
        await self._connection.execute(
            update(kept).where(*_of(request), kept.c.due_at == request.due_at).values(result=result, due_at=due_at)
        )

    async def remove(self, request: KeptRequest) -> None:
        await self._connection.execute(delete(kept).where(*_of(request), kept.c.due_at == request.due_at))

    async def remove_all(self, account_id: AccountId) -> None:
        await self._connection.execute(delete(kept).where(kept.c.account_id == account_id))

    async def count(self, account_id: AccountId, digest: bytes, due_at: datetime) -> int:
        dialect = postgresql if self._connection.dialect.name == "postgresql" else sqlite
        first = dialect.insert(kept).values(
            account_id=account_id, key_digest=digest, fingerprint=b"", result="1", due_at=due_at
        )
        one_more = cast(cast(kept.c.result, Integer) + 1, Text)
        counted = first.on_conflict_do_update(
            index_elements=[kept.c.account_id, kept.c.key_digest], set_={"result": one_more}
        ).returning(kept.c.result)
        return int((await self._connection.execute(counted)).scalar_one())

    async def key_digests_of(self, customer: Customer) -> tuple[bytes, ...]:
        return tuple(await self._connection.scalars(select(kept.c.key_digest).where(*_by(customer))))

    async def erase(self, customer: Customer) -> None:
        await self._connection.execute(delete(kept).where(*_by(customer)))

    async def sweep(self, now: datetime) -> int:
        return (await self._connection.execute(delete(kept).where(kept.c.due_at <= now))).rowcount


def _by(customer: Customer) -> tuple[Any, ...]:
    return kept.c.account_id == customer.account_id, kept.c.customer_id.in_(customer.pseudonyms)


def _of(request: KeptRequest) -> tuple[Any, ...]:
    return kept.c.account_id == request.account_id, kept.c.key_digest == request.record.key_digest


def _request(row: Any) -> KeptRequest:
    account_id = AccountId(row.account_id)
    return KeptRequest(
        account_id=account_id,
        record=IdempotencyRecord(row.key_digest, row.fingerprint),
        customer=Customer(account_id, row.customer_id) if row.customer_id is not None else None,
        due_at=row.due_at,
        result=row.result,
    )
