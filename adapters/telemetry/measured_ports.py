"""Ports that keep the trace of a request while another adapter does the work."""

from collections.abc import AsyncIterator, Iterable
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from types import TracebackType
from typing import Protocol

from application.ports.objects import ObjectStore
from application.ports.photos import OpenPhoto, PersonDetector, PhotoProcessor, PreparedPhoto
from application.ports.rows import Repositories, UnitOfWork
from application.request_trace import Stage, note
from domain.person import SeenPhoto


class MeasuredObjectStore:
    """The stage `store`."""

    def __init__(self, objects: ObjectStore) -> None:
        self._objects = objects

    async def put(self, name: str, data: bytes) -> None:
        with Stage("store"):
            await self._objects.put(name, data)

    async def get(self, name: str) -> bytes | None:
        with Stage("store"):
            return await self._objects.get(name)

    async def delete(self, names: Iterable[str]) -> frozenset[str]:
        with Stage("store"):
            return await self._objects.delete(names)

    def names(self, after: str = "") -> AsyncIterator[str]:
        return self._objects.names(after)

    async def sweep(self, now: datetime) -> None:
        await self._objects.sweep(now)

    async def check(self) -> None:
        await self._objects.check()


class MeasuredTransaction:
    """The stage `database`: from the wait for a connection to the end of the commit."""

    __slots__ = ("_stage", "_transaction")

    def __init__(self, transaction: AbstractAsyncContextManager[Repositories]) -> None:
        self._stage = Stage("database")
        self._transaction = transaction

    async def __aenter__(self) -> Repositories:
        self._stage.__enter__()
        try:
            return await self._transaction.__aenter__()
        except BaseException:
            self._stage.__exit__()
            raise

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        try:
            return await self._transaction.__aexit__(kind, error, trace)
        finally:
            self._stage.__exit__()


class MeasuredUnitOfWork:
    """Every transaction is a stage."""

    def __init__(self, work: UnitOfWork) -> None:
        self._work = work

    def begin(self) -> MeasuredTransaction:
        return MeasuredTransaction(self._work.begin())

    def read(self) -> MeasuredTransaction:
        return MeasuredTransaction(self._work.read())

    async def check(self) -> None:
        await self._work.check()


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

    async def prepare(self, photo: bytes | bytearray | memoryview, *, crop: bool) -> PreparedPhoto:
        note(photo_bytes=memoryview(photo).nbytes, photo_format="unknown")
        prepared = await self._processor.prepare(photo, crop=crop)
        note(
            photo_format=prepared.source_format.value,
            photo_width=prepared.source_size.width,
            photo_height=prepared.source_size.height,
            stored_bytes=len(prepared.jpeg),
        )
        return prepared


class MeasuredPersonDetector:
    """The stage `detect`, inside a photo worker."""

    def __init__(self, detector: PersonDetector) -> None:
        self._detector = detector

    def detect(self, photo: OpenPhoto) -> SeenPhoto:
        with Stage("detect"):
            return self._detector.detect(photo)
