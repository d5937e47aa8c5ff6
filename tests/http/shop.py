"""A shop for tests of try-ons: a service, a small web around it, and an engine that a test decides about."""

import asyncio
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from litestar.testing import TestClient

from adapters.memory.surroundings import (
    InMemoryObjectStore,
    InMemoryPhotoFetcher,
    InMemoryTryOnEngine,
    InProcessPhotoProcessor,
)
from adapters.memory.unit_of_work import InMemoryUnitOfWork
from application.authenticate import DEFAULT_ACCOUNT
from application.ports.photos import PreparedPhoto
from domain.cropping import Fit
from domain.errors import DomainError
from entrypoints.http.app import create_app
from entrypoints.wiring.container import Container
from entrypoints.wiring.settings import Settings
from tests.builders import MovableClock
from tests.http.conftest import API, Service, a_jpeg, account_with_key, an_in_process_processor

SHIRT_URL = "https://shop.test/shirt.jpg"
ANN_URL = "https://shop.test/ann.jpg"
SHIRT = a_jpeg(300, 300)
ANN = a_jpeg(800, 1000)


class CountingProcessor:
    """The real one, counted."""

    def __init__(self, processor: InProcessPhotoProcessor) -> None:
        self._processor = processor
        self.prepared: list[bool] = []

    async def start(self) -> None:
        await self._processor.start()

    async def close(self) -> None:
        await self._processor.close()

    async def check(self) -> None:
        await self._processor.check()

    async def prepare(self, photo: bytes | bytearray | memoryview, *, crop: bool, fit: Fit = Fit.CROP) -> PreparedPhoto:
        self.prepared.append(crop)
        return await self._processor.prepare(photo, crop=crop)


@dataclass
class Shop(Service):
    """A service, a small web around it, and an engine."""

    processor: CountingProcessor
    fetcher: InMemoryPhotoFetcher
    engine: InMemoryTryOnEngine

    def try_on(self, body: object, key: str | None = None) -> Any:
        return self.client.post(f"{API}/try-on", json=body, headers={"x-api-key": key or self.key})

    def try_on_form(self, body: object, **files: bytes) -> Any:
        data = ("data", (None, json.dumps(body).encode()))
        form = [data, *((name, ("a.jpg", file)) for name, file in files.items())]
        return self.client.post(f"{API}/try-on", files=form, headers={"x-api-key": self.key})

    def work_off(self) -> Any:
        """One generation's turn."""
        return self.run(self.container.run_next_generation().execute())

    def outcome(self, started: Any) -> dict[str, Any]:
        assert started.status_code == 202, started.text
        self.work_off()
        return self.generation(started)

    def generation(self, started: Any) -> dict[str, Any]:
        answer = self.get(f"/generations/{started.json()['generationId']}")
        assert answer.status_code == 200
        return dict(answer.json())

    def stored(self) -> list[str]:
        async def names() -> list[str]:
            return [name async for name in self.objects.names()]

        return list(self.run(names()))


@pytest.fixture
def shop(settings: Settings) -> Iterator[Shop]:
    clock, objects, work = MovableClock(), InMemoryObjectStore(), InMemoryUnitOfWork()
    processor = CountingProcessor(an_in_process_processor())
    fetcher, engine = InMemoryPhotoFetcher({SHIRT_URL: SHIRT, ANN_URL: ANN}), InMemoryTryOnEngine()
    container = Container(
        settings=settings,
        clock=clock,
        objects=objects,
        work=work,
        processor=processor,
        fetcher=fetcher,
        try_on_engine=engine,
    )
    key = asyncio.run(account_with_key(container, DEFAULT_ACCOUNT))
    with TestClient(create_app(container), base_url="http://photos.test") as client:
        yield Shop(client, container, clock, objects, work, key, processor, fetcher, engine)


def request(person: object = None, **more: object) -> dict[str, object]:
    return {
        "products": [{"externalId": "shirt-1", "images": [{"source": {"url": SHIRT_URL}}]}],
        "person": {"image": {"source": person or {"url": ANN_URL}}},
        **more,
    }


def paths(body: dict[str, Any]) -> list[str]:
    return [problem["path"] for problem in body["details"]]


def fail_with(error: DomainError) -> Any:
    async def fail() -> None:
        raise error

    return fail
