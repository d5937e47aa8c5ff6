"""Ports that keep the trace of a request while another adapter does the work."""

from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from datetime import datetime
from types import TracebackType
from typing import Protocol

import structlog

from adapters.telemetry import metrics
from application.ports.objects import DiskReserve, ObjectStore
from application.ports.photos import PhotoProcessor, PreparedPhoto
from application.ports.rows import Repositories, UnitOfWork
from application.request_trace import Stage, note
from domain.cropping import Fit
from domain.erasure import AuditEntry
from domain.errors import Overloaded

log = structlog.get_logger()


@contextmanager
def _outages_counted(operation: str) -> Iterator[None]:
    try:
        yield
    except Overloaded as error:
        metrics.STORAGE_ERRORS.labels(operation, error.cause).inc()
        raise


class MeasuredObjectStore:
    """The stage `store`, and failures by operation and cause."""

    def __init__(self, objects: ObjectStore) -> None:
        self._objects = objects

    async def put(self, name: str, data: bytes) -> None:
        with Stage("store"), _outages_counted("put"):
            await self._objects.put(name, data)

    async def get(self, name: str) -> bytes | None:
        with Stage("store"), _outages_counted("get"):
            return await self._objects.get(name)

    async def delete(self, names: Iterable[str]) -> frozenset[str]:
        with Stage("store"):
            left = await self._objects.delete(names)
        if left:
            metrics.STORAGE_ERRORS.labels("delete", "left").inc(len(left))
        return left

    def names(self, after: str = "") -> AsyncIterator[str]:
        return self._objects.names(after)

    async def sweep(self, now: datetime) -> None:
        await self._objects.sweep(now)

    async def check(self) -> None:
        with _outages_counted("check"):
            await self._objects.check()


class MeasuredReserve:
    """Tells with every look whether the reserve is there."""

    def __init__(self, reserve: DiskReserve) -> None:
        self._reserve = reserve

    async def expect(self) -> None:
        try:
            await self._reserve.expect()
        except Overloaded:
            metrics.STORAGE_RESERVE_OK.set(0)
            raise
        metrics.STORAGE_RESERVE_OK.set(1)


class MeasuredTransaction:
    """The stage `database`: from the wait for a connection to the end of the commit. Then a line for each entry that it
    added to the audit log.
    """

    __slots__ = ("_repositories", "_stage", "_transaction")

    def __init__(self, transaction: AbstractAsyncContextManager[Repositories]) -> None:
        self._stage = Stage("database")
        self._transaction = transaction

    async def __aenter__(self) -> Repositories:
        self._stage.__enter__()
        try:
            self._repositories = await self._transaction.__aenter__()
            return self._repositories
        except BaseException as error:
            self._stage.__exit__()
            _count_database_error(error)
            raise

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        try:
            outcome = await self._transaction.__aexit__(kind, error, trace)
        except Overloaded as outage:
            _count_database_error(outage)
            raise
        finally:
            self._stage.__exit__()
        if error is None:
            for entry in self._repositories.audit.added:
                _write_line(entry)
        return outcome


def _write_line(entry: AuditEntry) -> None:
    ids = {"account_id": entry.account_id, "subject": entry.subject}
    log.info("audit", actor=entry.actor, action=entry.action.value, **ids, **entry.facts)


def _count_database_error(error: BaseException) -> None:
    if isinstance(error, Overloaded):
        metrics.DATABASE_ERRORS.labels(error.cause).inc()


class MeasuredUnitOfWork:
    """Every transaction is a stage."""

    def __init__(self, work: UnitOfWork) -> None:
        self._work = work

    def begin(self) -> MeasuredTransaction:
        return MeasuredTransaction(self._work.begin())

    def read(self) -> MeasuredTransaction:
        return MeasuredTransaction(self._work.read())

    async def forget_history(self) -> None:
        await self._work.forget_history()

    async def check(self) -> None:
        await self._work.check()

    async def check_commits(self) -> None:
        await self._work.check_commits()


class RunningPhotoProcessor(PhotoProcessor, Protocol):
    """A processor that has to be started and ended."""

    async def start(self) -> None: ...

    async def close(self) -> None: ...

    async def check(self) -> None: ...


class NotedPhotoProcessor:
    """Notes sizes and format of a photo; the stages of the work are entered where it happens."""

    def __init__(self, processor: RunningPhotoProcessor) -> None:
        self._processor = processor

    async def start(self) -> None:
        await self._processor.start()

    async def close(self) -> None:
        await self._processor.close()

    async def check(self) -> None:
        await self._processor.check()

    async def prepare(self, photo: bytes | bytearray | memoryview, *, crop: bool, fit: Fit = Fit.CROP) -> PreparedPhoto:
        note(photo_bytes=memoryview(photo).nbytes, photo_format="unknown")
        prepared = await self._processor.prepare(photo, crop=crop, fit=fit)
        note(
            photo_format=prepared.facts.source_format.value,
            photo_width=prepared.facts.source_size.width,
            photo_height=prepared.facts.source_size.height,
            stored_bytes=len(prepared.jpeg),
        )
        return prepared
