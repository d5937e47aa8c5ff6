"""SIGTERM: uploads in flight are finished, new ones refused, nothing half-written stays."""

import asyncio
import signal
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest

from tests.builders import MovableClock
from tests.durability.running_server import a_nursery
from tests.durability.test_kill import a_photo, account_id, prepare_database
from tests.durability.world import World

BOUNDARY = "photo-boundary"


async def ask_for_ever(client: httpx.AsyncClient) -> None:
    while True:
        await client.get("/health/live")


async def test_an_upload_in_flight_is_finished_and_a_new_one_refused(tmp_path: Path) -> None:
    async with a_nursery(tmp_path) as nursery:
        await prepare_database(nursery)
        await nursery.start()
        is_stopping = asyncio.Event()
        has_begun = asyncio.Event()

        async def body() -> AsyncIterator[bytes]:
            yield f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="p.jpg"\r\n\r\n'.encode()
            has_begun.set()
            await is_stopping.wait()
            yield a_photo(1) + f"\r\n--{BOUNDARY}--\r\n".encode()

        async with nursery.client() as client:
            headers = {"content-type": f"multipart/form-data; boundary={BOUNDARY}"}
            uploading = asyncio.ensure_future(client.post("/tryon/v1/images/upload", content=body(), headers=headers))
            await has_begun.wait()
            assert (await client.get("/health/live")).status_code == 200  # and so it has taken up what came before
            nursery.send(signal.SIGTERM)
            with pytest.raises(httpx.TransportError):
                await ask_for_ever(client)
            is_stopping.set()
            answer = await uploading
        assert answer.status_code == 201
        clock = MovableClock(datetime.now(UTC))
        container = nursery.container(clock)
        world = World(container.work(), container.objects(), clock)
        kept = await container.open_image().execute(answer.json()["imageId"], await account_id(world))
        assert len(kept) == answer.json()["sizeBytes"]
        assert list((nursery.settings.storage_folder / "incoming").iterdir()) == []
        await container.engine().dispose()
