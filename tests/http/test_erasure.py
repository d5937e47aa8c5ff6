"""Erasing a customer, as a client sees it."""

from collections.abc import Iterable
from urllib.parse import quote

import pytest

from tests.http.conftest import API, Service

ODD_IDS = [
    "ann",
    "gid://shopify/Customer/1",
    "a/b",
    "a/",
    "/a",
    "..",
    ".",
    "a b",
    "a+b",
    "a%2Fb",
    "ünï-ço∂é-🧥",
    "a?b#c",
    "x" * 256,
]


def encoded(customer: str) -> str:
    return quote(customer, safe="").replace(".", "%2E")  # HTTP clients resolve bare dot segments away


def is_there(service: Service, image_id: str) -> bool:
    return bool(service.get(f"/images/{image_id}").status_code == 200)


@pytest.mark.parametrize("customer", ODD_IDS)
def test_an_id_reaches_us_byte_for_byte_and_erases_exactly_that_customer(service: Service, customer: str) -> None:
    hers = service.upload(externalUserId=customer).json()["imageId"]
    others = [service.upload(externalUserId=other).json()["imageId"] for other in ODD_IDS[:4] if other != customer]
    nobodys = service.upload().json()["imageId"]
    assert service.delete(f"/customers/{encoded(customer)}").status_code == 204
    assert not is_there(service, hers)
    assert all(is_there(service, image_id) for image_id in [*others, nobodys])


def test_erasing_again_or_somebody_unknown_is_fine(service: Service) -> None:
    assert service.delete("/customers/nobody").status_code == 204
    assert service.delete("/customers/nobody").status_code == 204


def test_links_of_an_erased_customer_are_dead(service: Service) -> None:
    url = service.upload(externalUserId="ann").json()["imageUrl"]
    service.delete("/customers/ann")
    assert service.client.get(url).status_code == 404


def test_another_accounts_customer_of_the_same_id_is_somebody_else(service: Service) -> None:
    stranger = service.new_account("stranger")
    image_id = service.upload(externalUserId="ann").json()["imageId"]
    assert service.delete("/customers/ann", key=stranger).status_code == 204
    assert is_there(service, image_id)


def test_an_upload_after_the_erasure_lives(service: Service) -> None:
    service.delete("/customers/ann")
    assert is_there(service, service.upload(externalUserId="ann").json()["imageId"])


@pytest.mark.parametrize("path", ["/customers/a/b", "/customers/", "/customers/%ff", "/customers/" + "x" * 257])
def test_an_id_that_is_not_one_encoded_segment_is_refused_instead_of_guessed(service: Service, path: str) -> None:
    answer = service.delete(path)
    assert (answer.status_code, answer.json()["code"]) in [(400, "VALIDATION_FAILED"), (404, "NOT_FOUND")]


def test_while_storage_is_down_the_images_are_unreachable_and_the_answer_says_so(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    image_id = service.upload(externalUserId="ann").json()["imageId"]
    with monkeypatch.context() as outage:
        outage.setattr(service.objects, "delete", cannot_delete)
        answer = service.client.delete(f"{API}/customers/ann", headers={"x-api-key": service.key})
        assert answer.status_code == 202
        assert int(answer.headers["retry-after"]) > 0
        assert not is_there(service, image_id)
    assert service.delete("/customers/ann").status_code == 204


async def cannot_delete(names: Iterable[str]) -> frozenset[str]:
    """What an object store says during an outage."""
    return frozenset(names)
