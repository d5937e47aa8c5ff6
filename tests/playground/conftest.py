"""The playground in a real browser, against a real server on in-memory adapters."""

import asyncio
import base64
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from adapters.imaging.photo_decoder import ImagingPhotoDecoder
from adapters.memory.surroundings import (
    InMemoryObjectStore,
    InMemoryPersonDetector,
    InMemoryTryOnEngine,
    InProcessPhotoProcessor,
)
from adapters.memory.unit_of_work import InMemoryUnitOfWork
from adapters.vision.look import PixelMeter
from application.authenticate import DEFAULT_ACCOUNT
from application.prepare_photo import PreparePhoto
from domain.geometry import Box
from domain.person import SeenPerson
from entrypoints.http.app import create_app
from entrypoints.wiring.container import Container
from entrypoints.wiring.settings import Settings
from tests.free_port import free_port
from tests.http.conftest import account_with_key
from tests.live_server import serving
from tests.patience import PATIENCE_SECONDS
from tests.photos import astronaut, jpeg

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = [
    "--no-sandbox",  # CI runs as root
    "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
]
PATIENCE_MS = 1000 * int(PATIENCE_SECONDS)

EILEEN = SeenPerson(box=Box(10, 0, 880, 1000), head=Box(320, 0, 260, 330), face=Box(355, 95, 180, 190), silhouette=0.4)
"""Where she is in `the_photo`."""


@dataclass(frozen=True)
class Playground:
    """The page in a browser of its own, with a key at hand."""

    page: Page
    key: str
    engine: InMemoryTryOnEngine
    problems: list[str]

    def unlock(self) -> None:
        self.page.get_by_label("Key", exact=True).fill(self.key)
        with self.page.expect_response("**/tryon/v1/**") as checked:
            self.page.get_by_role("button", name="Use this key").click()
        assert checked.value.ok, "a browser's console shows every other answer as an error"
        expect(self.page.get_by_role("button", name="Use another key")).to_be_visible()

    def open_options(self) -> None:
        self.page.get_by_text("Options", exact=True).click()

    def erase(self, customer: str) -> None:
        self.page.get_by_label("Customer id", exact=True).fill(customer)
        self.page.get_by_role("button", name="Erase this customer").click()
        self.page.get_by_role("button", name="Erase everything").click()

    def choose(self, photo: bytes, name: str = "photo.jpg", kind: str = "image/jpeg") -> None:
        self.page.get_by_label("Choose photos").set_input_files({"name": name, "mimeType": kind, "buffer": photo})

    def hand_over(self, event: str, photo: bytes, padding: int = 0) -> None:
        """Drop the photo on the page, or paste it there."""
        self.page.evaluate(
            """([event, photo, padding]) => {
                const data = new DataTransfer();
                const parts = [Uint8Array.fromBase64(photo), new Uint8Array(padding)];
                data.items.add(new File(parts, "photo.jpg", { type: "image/jpeg" }));
                const init = { bubbles: true, cancelable: true };
                document.getElementById("drop-zone").dispatchEvent(
                    event === "drop" ? new DragEvent("drop", { ...init, dataTransfer: data })
                                     : new ClipboardEvent("paste", { ...init, clipboardData: data }));
            }""",
            [event, base64.b64encode(photo).decode(), padding],
        )

    def try_on(self, garment: bytes) -> None:
        self.page.get_by_label("Another garment").set_input_files(
            {"name": "shirt.jpg", "mimeType": "image/jpeg", "buffer": garment}
        )
        self.page.get_by_role("button", name="Try it on").press("Enter")

    def image_id(self) -> str:
        expect(self.page.get_by_role("heading", name="Result")).to_be_focused()
        return self.page.locator("#image-id").inner_text()

    def status_of(self, image_id: str) -> int:
        url = f"/tryon/v1/images/{image_id}"
        return self.page.request.get(url, headers={"x-api-key": self.key}).status


def the_photo() -> bytes:
    return jpeg(astronaut(1000, 1000), quality=80)


@dataclass(frozen=True)
class Stage:
    """What all tests share: a server, a browser, a key."""

    url: str
    key: str
    engine: InMemoryTryOnEngine
    browser: Browser
    settings: Settings


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine (Debian: apt-get install chromium)")
    port = free_port()
    preparer = PreparePhoto(
        decoder=ImagingPhotoDecoder(), detector=InMemoryPersonDetector(EILEEN), meter=PixelMeter(), max_edge=2000
    )
    engine = InMemoryTryOnEngine()
    container = Container(
        settings=Settings(data_dir=tmp_path_factory.mktemp("data"), port=port, rate_limit_per_minute=0),
        objects=InMemoryObjectStore(),
        work=InMemoryUnitOfWork(),
        processor=InProcessPhotoProcessor(preparer),
        try_on_engine=engine,
    )
    key = asyncio.run(account_with_key(container, DEFAULT_ACCOUNT))
    with serving(create_app(container), port) as url, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield Stage(url, key, engine, browser, container.settings())
        browser.close()


@pytest.fixture
def playground(stage: Stage) -> Iterator[Playground]:
    yield from opened(stage)


def opened(stage: Stage, **options: Any) -> Iterator[Playground]:
    context = stage.browser.new_context(base_url=stage.url, **options)
    context.grant_permissions(["clipboard-read", "clipboard-write", "camera"], origin=stage.url)
    page = context.new_page()
    page.set_default_timeout(PATIENCE_MS)
    expect.set_options(timeout=PATIENCE_MS)
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("console", lambda message: problems.append(message.text) if "Policy" in message.text else None)
    page.goto("/")
    yield Playground(page, stage.key, stage.engine, problems)
    assert problems == []
    context.close()
