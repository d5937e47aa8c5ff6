"""The HTTP service on in-memory adapters and a clock that tests move."""

import asyncio
import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from litestar.testing import TestClient
from PIL import Image

from adapters.imaging.photo_decoder import ImagingPhotoDecoder
from adapters.memory.surroundings import InMemoryObjectStore, InMemoryPersonDetector, InProcessPhotoProcessor
from adapters.memory.unit_of_work import InMemoryUnitOfWork
from adapters.system import ProcessRateLimiter
from adapters.vision.look import PixelMeter
from application.authenticate import DEFAULT_ACCOUNT
from application.prepare_photo import PreparePhoto
from domain.account import RetentionPolicy, microseconds
from entrypoints.http.app import create_app
from entrypoints.wiring.container import Container
from entrypoints.wiring.settings import Settings
from tests.builders import MovableClock

API = "/tryon/v1"


@dataclass
class Service:
    """A running service and what a test may look into."""

    client: TestClient[Any]
    container: Container
    clock: MovableClock
    objects: InMemoryObjectStore
    work: InMemoryUnitOfWork
    key: str

    def upload(self, photo: bytes | None = None, **fields: str) -> Any:
        files = {"file": ("photo.jpg", a_jpeg() if photo is None else photo, "image/jpeg")}
        headers = {"x-api-key": self.key}
        return self.client.post(f"{API}/images/upload", files=files, data=fields, headers=headers)

    def get(self, path: str, key: str | None = None) -> Any:
        return self.client.get(API + path, headers={"x-api-key": key or self.key})

    def delete(self, path: str, key: str | None = None) -> Any:
        return self.client.delete(API + path, headers={"x-api-key": key or self.key})

    def new_account(self, name: str) -> str:
        return asyncio.run(account_with_key(self.container, name))

    def run(self, coroutine: Any) -> Any:
        return asyncio.run(coroutine)


async def account_with_key(container: Container, name: str) -> str:
    await container.create_account().execute(name, RetentionPolicy(7))
    return str((await container.create_key().execute(name, "test")).secret)


def a_jpeg(width: int = 480, height: int = 600) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (width, height), (90, 140, 200)).save(out, "JPEG")
    return out.getvalue()


def an_in_process_processor() -> InProcessPhotoProcessor:
    return InProcessPhotoProcessor(
        PreparePhoto(
            decoder=ImagingPhotoDecoder(),
            detector=InMemoryPersonDetector(),
            meter=PixelMeter(),
            max_edge=2000,
        )
    )


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(data_dir=tmp_path, public_url="http://photos.test", generations_at_once=0)


@pytest.fixture
def service(settings: Settings) -> Iterator[Service]:
    clock, objects, work = MovableClock(), InMemoryObjectStore(), InMemoryUnitOfWork()
    container = Container(
        settings=settings,
        clock=clock,
        objects=objects,
        work=work,
        processor=an_in_process_processor(),
        rate_limiter=ProcessRateLimiter(lambda: microseconds(clock.now())),
    )
    key = asyncio.run(account_with_key(container, DEFAULT_ACCOUNT))
    with TestClient(create_app(container), base_url="http://photos.test") as client:
        yield Service(client, container, clock, objects, work, key)
