"""Two replicas on one PostgreSQL and one bucket are one service, also while one of them dies."""

import asyncio
import io
import time
from collections.abc import AsyncIterator, Awaitable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from adapters.object_storage.gcs import GcsObjectStore
from adapters.object_storage.gcs_bucket import GcsBucket
from adapters.sql.unit_of_work import create_engine
from domain.erasure import Tombstone
from tests.object_storage.emulator import fake_gcs_server
from tests.patience import until
from tests.replicas.server import API, Replica, serving, starting, wait_until_ready

CUSTOMER = "gid://shopify/Customer/1"
ESCAPED = "/customers/gid:%2F%2Fshopify%2FCustomer%2F1"


def a_photo(shade: int) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (480, 600), (shade, 140, 200)).save(out, "JPEG")
    return out.getvalue()


async def upload(
    client: httpx.AsyncClient, shade: int = 90, *, key: str | None = None, **fields: str
) -> httpx.Response:
    files = {"file": ("photo.jpg", a_photo(shade), "image/jpeg")}
    headers = {"idempotency-key": key} if key else {}
    return await client.post("/images/upload", files=files, data=fields, headers=headers)


@dataclass
class Cluster:
    """Replicas `a` and `b`, and what they share."""

    a: Replica
    b: Replica
    engine: AsyncEngine
    objects: GcsObjectStore

    async def object_names(self) -> list[str]:
        return [name async for name in self.objects.names()]

    async def execute(self, statement: str) -> None:
        async with self.engine.begin() as connection:
            await connection.execute(text(statement))

    async def image_ids(self) -> set[str]:
        async with self.engine.connect() as connection:
            return set(await connection.scalars(text("SELECT id FROM images")))


@pytest.fixture
def bucket_host() -> Iterator[str]:
    with fake_gcs_server("photos") as host:
        yield host


@pytest.fixture
async def cluster(
    postgres_url: str, bucket_host: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Cluster]:
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", bucket_host)
    settings = {
        "TRYON_DATABASE_URL": postgres_url,
        "TRYON_PSEUDONYM_KEY": "one-ring-for-all-replicas-32-bytes-long",
        "TRYON_STORAGE_URL": "gs://photos/shop",
        "TRYON_PREVIEW_LINKS": "service",
        "TRYON_SIGNING_KEY": "one-key-for-all-replicas-32-bytes-long",
        "TRYON_PURGE_INTERVAL_SECONDS": "1",
        "TRYON_TRUSTED_PROXY": "127.0.0.1",
    }
    engine = create_engine(postgres_url)
    of_two_processes = {**settings, "TRYON_SERVER_PROCESSES": "2", "TRYON_WORKERS": "2"}
    with starting(tmp_path / "a", settings) as a, starting(tmp_path / "b", of_two_processes) as b:
        for replica in (a, b):
            wait_until_ready(replica)
        yield Cluster(a, b, engine, GcsObjectStore(GcsBucket("gs://photos/shop")))
    await engine.dispose()


async def test_two_replicas_are_one_service_and_one_survives_the_other(cluster: Cluster) -> None:
    await until(lambda: [len(replica.photo_workers()) for replica in (cluster.a, cluster.b)] == [1, 2])
    async with cluster.a.client() as a, cluster.b.client() as b:
        await what_one_keeps_the_other_shows_and_erases(cluster, a, b)
        await what_began_before_an_erasure_is_refused_by_the_other_however_late(a, b)
        await a_request_that_comes_to_both_is_carried_out_once(cluster, a, b)
        await an_account_may_ask_all_of_them_together_as_often_as_one(cluster, a, b)
        acknowledged = await uploads_until_one_is_killed(cluster, a, b)
        for image_id, shown in acknowledged.items():
            body = (await b.get(f"/images/{image_id}")).json()
            link = body["imageUrl"].removeprefix(cluster.b.url + API)
            assert body["sizeBytes"] == shown["sizeBytes"] == len((await b.get(link)).content)
        await the_other_cleans_up_what_was_in_flight(cluster, set(acknowledged))
        await what_expires_is_purged_by_whoever_is_left(cluster)


async def what_one_keeps_the_other_shows_and_erases(
    cluster: Cluster, a: httpx.AsyncClient, b: httpx.AsyncClient
) -> None:
    made = (await upload(a, externalUserId=CUSTOMER)).json()
    image_id = made["imageId"]
    shown = (await b.get(f"/images/{image_id}")).json()
    volatile = {"imageUrl", "imageUrlExpiresAt"}
    assert {k: v for k, v in shown.items() if k not in volatile} == {k: v for k, v in made.items() if k not in volatile}
    link = httpx.URL(made["imageUrl"]).raw_path.decode().removeprefix(API)
    assert (await b.get(link)).content == (await a.get(link)).content
    assert await cluster.object_names() == [f"ttl-7d/{image_id}.jpg"]
    assert (await b.delete(ESCAPED)).status_code == 204
    for client in (a, b):
        assert (await client.get(f"/images/{image_id}")).status_code == 404
        assert (await client.get(link)).status_code == 404
    assert await cluster.object_names() == []


async def what_began_before_an_erasure_is_refused_by_the_other_however_late(
    a: httpx.AsyncClient, b: httpx.AsyncClient
) -> None:
    async def begun_at(seconds: float) -> httpx.Response:
        a.headers["x-request-start"] = f"t={seconds:.3f}"
        return await upload(a, externalUserId="late")

    began = time.time()
    assert (await b.delete("/customers/late")).status_code == 204
    refused = await begun_at(began)
    assert (refused.status_code, refused.json()["code"]) == (409, "CUSTOMER_ERASED")
    await asyncio.sleep(Tombstone.TOLERANCE.total_seconds())  # to ask all that time would use up the account's rate
    await until(lambda: _is_made(begun_at(time.time())))
    del a.headers["x-request-start"]
    assert (await b.delete("/customers/late")).headers["x-images-erased"] == "1"


async def _is_made(answer: Awaitable[httpx.Response]) -> bool:
    return (await answer).status_code == 201


async def a_request_that_comes_to_both_is_carried_out_once(
    cluster: Cluster, a: httpx.AsyncClient, b: httpx.AsyncClient
) -> None:
    answers = await asyncio.gather(*(upload(client, key="once") for client in (a, b, a, b)))
    assert {answer.status_code for answer in answers} <= {201, 409}
    again = await upload(b, key="once")
    (image_id,) = {answer.json()["imageId"] for answer in (*answers, again) if answer.status_code == 201}
    assert await cluster.image_ids() == {image_id}
    assert (await a.delete(f"/images/{image_id}")).status_code == 204


async def an_account_may_ask_all_of_them_together_as_often_as_one(
    cluster: Cluster, a: httpx.AsyncClient, b: httpx.AsyncClient
) -> None:
    await cluster.execute("UPDATE accounts SET requests_per_minute = 2")
    await cluster.execute("DELETE FROM rate_buckets")
    answers = [(await client.get("/images/img_none")).status_code for client in (a, b, a, b)]
    assert answers == [404, 404, 429, 429]
    await cluster.execute("UPDATE accounts SET requests_per_minute = NULL")
    await cluster.execute("DELETE FROM rate_buckets")


async def uploads_until_one_is_killed(
    cluster: Cluster, a: httpx.AsyncClient, b: httpx.AsyncClient
) -> dict[str, dict[str, Any]]:
    """Returns: the bodies of all uploads that either of them acknowledged."""
    acknowledged: dict[str, dict[str, Any]] = {}
    a_is_busy = asyncio.Event()

    async def keep_uploading(client: httpx.AsyncClient, times: int) -> None:
        for shade in range(times):
            try:
                answer = await upload(client, shade, keepForDays="1")
            except httpx.TransportError:
                return
            if answer.status_code == 201:
                acknowledged[answer.json()["imageId"]] = answer.json()
                if client is a:
                    a_is_busy.set()

    async with asyncio.TaskGroup() as group:
        for _ in range(3):
            group.create_task(keep_uploading(a, 200))
        group.create_task(keep_uploading(b, 8))
        await a_is_busy.wait()
        cluster.a.kill()
    return acknowledged


async def the_other_cleans_up_what_was_in_flight(cluster: Cluster, acknowledged: set[str]) -> None:
    assert acknowledged <= await cluster.image_ids()
    await cluster.execute("UPDATE images SET due_at = now() WHERE state <> 'stored'")  # the lease is over

    async def nothing_else_is_left() -> bool:
        return await cluster.image_ids() == acknowledged

    await until(nothing_else_is_left)
    assert set(await cluster.object_names()) == {f"ttl-1d/{image_id}.jpg" for image_id in acknowledged}


async def what_expires_is_purged_by_whoever_is_left(cluster: Cluster) -> None:
    await cluster.execute("UPDATE images SET created_at = created_at - INTERVAL '1 day', due_at = now()")

    async def everything_is_gone() -> bool:
        return not await cluster.image_ids() and not await cluster.object_names()

    await until(everything_is_gone)


async def test_processes_of_one_machine_share_the_key_and_the_database(tmp_path: Path) -> None:
    with serving(tmp_path / "one", {"TRYON_SERVER_PROCESSES": "2", "TRYON_WORKERS": "2"}) as replica:
        async with replica.client() as client:
            link = (await upload(client)).json()["imageUrl"]
        for _ in range(16):  # each on a connection of its own, so that the kernel may choose another process
            async with replica.client() as client:
                answer = await client.get(link.removeprefix(replica.url + API))
            assert answer.status_code == 200
        await until(lambda: len(replica.photo_workers()) == 2)
