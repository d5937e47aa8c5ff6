"""Waiting for a try-on with the request open, on a real server where no generation is ever worked off."""

import asyncio
from collections import Counter
from pathlib import Path
from typing import Any

import httpx

from adapters.memory.surroundings import InMemoryObjectStore, InMemoryPhotoFetcher, InMemoryTryOnEngine
from adapters.memory.unit_of_work import InMemoryUnitOfWork
from application.authenticate import DEFAULT_ACCOUNT
from application.generations import AwaitGeneration
from domain.account import AccountId
from entrypoints.http.app import create_app
from entrypoints.wiring.container import Container
from entrypoints.wiring.settings import Settings
from tests.free_port import free_port
from tests.http.conftest import a_jpeg, account_with_key, an_in_process_processor
from tests.live_server import serving
from tests.patience import until

SHIRT_URL = "https://shop.test/shirt.jpg"


def test_an_account_has_a_few_that_wait_and_a_client_that_leaves_makes_room(tmp_path: Path) -> None:
    port = free_port()
    container = Container(
        settings=Settings(data_dir=tmp_path, port=port, rate_limit_per_minute=0, generations_at_once=0),
        objects=InMemoryObjectStore(),
        work=InMemoryUnitOfWork(),
        processor=an_in_process_processor(),
        fetcher=InMemoryPhotoFetcher({SHIRT_URL: a_jpeg(300, 300)}),
        try_on_engine=InMemoryTryOnEngine(),
    )
    key = asyncio.run(account_with_key(container, DEFAULT_ACCOUNT))
    app = create_app(container)
    provided: Any = app.dependencies["service"]
    with serving(app, port) as url:
        asyncio.run(wait_and_leave(f"{url}/tryon/v1/try-on/sync", key, provided.dependency().await_generation.waiting))


async def wait_and_leave(url: str, key: str, waiting: "Counter[AccountId]") -> None:
    async def ask() -> httpx.Response:
        body = {"products": [{"externalId": "s", "imageUrls": [SHIRT_URL]}], "person": {"url": SHIRT_URL}}
        async with httpx.AsyncClient() as client:
            return await client.post(url, json=body, headers={"x-api-key": key})

    asking = [asyncio.create_task(ask()) for _ in range(AwaitGeneration.WAITING_PER_ACCOUNT)]
    await until(lambda: waiting.total() == AwaitGeneration.WAITING_PER_ACCOUNT)
    one_more = await ask()
    assert (one_more.status_code, one_more.json()["status"]) == (202, "PENDING")
    assert one_more.headers["retry-after"] == "2"
    assert not any(task.done() for task in asking)
    for task in asking:
        task.cancel()
    await until(lambda: waiting.total() == 0)
