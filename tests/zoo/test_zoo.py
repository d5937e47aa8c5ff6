"""An erasure reaches who is meant, directly and behind nginx; detectors outlive a minute without a photo."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest

from entrypoints.wiring.photo_processing import build_processor
from entrypoints.wiring.settings import Settings
from tests.http.conftest import API, a_jpeg
from tests.zoo.zoo import ROUTES, Zoo, open_zoo

SHOPPER = Path(__file__).parents[2] / "examples" / "portrait.jpg"
LONGER_THAN_MEDIAPIPES_THREADS_WAIT_FOR_WORK = 65


@pytest.fixture(scope="module")
def zoo() -> Iterator[Zoo]:
    with open_zoo() as opened:
        yield opened


@pytest.mark.xdist_group("zoo")
@pytest.mark.parametrize("customer", ["gid://shopify/Customer/1", "a b", "a+b", "a%2Fb", "ünï/ço"])
@pytest.mark.parametrize("route", ROUTES)
def test_an_erasure_reaches_who_is_meant(zoo: Zoo, route: str, customer: str) -> None:
    if route not in zoo.urls:
        pytest.skip("not installed here; `.ci/run` does")
    with httpx.Client(base_url=zoo.urls[route] + API, headers={"x-api-key": zoo.key}) as client:
        client.post("/images/upload", files={"file": ("a.jpg", a_jpeg())}, data={"externalUserId": customer})
        erased = client.delete(f"/customers/{quote(customer, safe='')}")
        assert (erased.status_code, erased.headers["x-images-erased"]) == (204, "1")


async def test_detectors_outlive_a_minute_without_a_photo_and_find_people_then() -> None:
    pool = build_processor(Settings(workers=1))
    await pool.start()
    try:
        before = await pool.prepare(SHOPPER.read_bytes(), crop=True)
        await asyncio.sleep(LONGER_THAN_MEDIAPIPES_THREADS_WAIT_FOR_WORK)
        after = await pool.prepare(SHOPPER.read_bytes(), crop=True)
        assert before.facts.person == after.facts.person is not None
        assert pool.restarts == 0
    finally:
        await pool.close()
