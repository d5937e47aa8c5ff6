"""An erasure reaches who is meant, directly and behind nginx."""

from collections.abc import Iterator
from urllib.parse import quote

import httpx
import pytest

from tests.http.conftest import API, a_jpeg
from tests.zoo.zoo import ROUTES, Zoo, open_zoo

pytestmark = pytest.mark.xdist_group("zoo")


@pytest.fixture(scope="module")
def zoo() -> Iterator[Zoo]:
    with open_zoo() as opened:
        yield opened


@pytest.mark.parametrize("customer", ["gid://shopify/Customer/1", "a b", "a+b", "a%2Fb", "ünï/ço"])
@pytest.mark.parametrize("route", ROUTES)
def test_an_erasure_reaches_who_is_meant(zoo: Zoo, route: str, customer: str) -> None:
    if route not in zoo.urls:
        pytest.skip("not installed here; `.ci/run` does")
    with httpx.Client(base_url=zoo.urls[route] + API, headers={"x-api-key": zoo.key}) as client:
        client.post("/images/upload", files={"file": ("a.jpg", a_jpeg())}, data={"externalUserId": customer})
        erased = client.delete(f"/customers/{quote(customer, safe='')}")
        assert (erased.status_code, erased.headers["x-images-erased"]) == (204, "1")
