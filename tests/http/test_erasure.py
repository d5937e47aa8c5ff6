"""Erasing a customer, as a client sees it."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any
from urllib.parse import quote

import pytest

from domain.erasure import Action, AuditEntry
from tests.http.conftest import API, Service

ODD_IDS = [
    "ann",
    "gid://shopify/Customer/1",
    "a/b",
    "erase",
    "a/",
    "/a",
    "a/../b",
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


@pytest.mark.parametrize("customer", ["gid://shopify/Customer/1", "a/b", "/a", "a/", "a//b"])
def test_slashes_may_come_as_they_are(service: Service, customer: str) -> None:
    """As many proxies pass them on."""
    image_id = service.upload(externalUserId=customer).json()["imageId"]
    answer = service.delete(f"/customers/{customer}")
    assert (answer.status_code, answer.headers["x-images-erased"]) == (204, "1")
    assert not is_there(service, image_id)


def test_the_answer_tells_nothing_matched_from_success(service: Service) -> None:
    service.upload(externalUserId="a b")
    assert service.delete("/customers/a+b").headers["x-images-erased"] == "0"
    answer = service.delete("/customers/a%20b")
    assert (answer.headers["x-images-erased"], answer.content) == ("1", b"")
    assert answer.headers["x-erasure-id"].startswith("era_")


def erased_by_post(service: Service, body: object) -> Any:
    return service.client.post(f"{API}/customers/erase", json=body, headers={"x-api-key": service.key})


@pytest.mark.parametrize("customer", ODD_IDS)
def test_a_body_carries_any_id_without_escapes(service: Service, customer: str) -> None:
    service.upload(externalUserId=customer)
    answer = erased_by_post(service, {"customerId": customer})
    assert answer.status_code == 200
    assert (answer.json()["status"], answer.json()["imagesErased"]) == ("ERASED", 1)
    assert set(answer.json()) == {"erasureId", "status", "imagesErased", "requestedAt"}
    assert erased_by_post(service, {"customerId": customer}).json()["imagesErased"] == 0


@pytest.mark.parametrize("body", [{}, {"customerId": 7}, {"customerId": ""}, {"customerId": "null"}, [], "ann"])
def test_a_body_that_names_nobody_is_refused(service: Service, body: object) -> None:
    assert erased_by_post(service, body).json()["code"] == "VALIDATION_FAILED"


@pytest.mark.parametrize(
    "path", ["/customers/%2F", "/customers/%2F%2f/", "/customers///", "/customers/", "/customers/%2E"]
)
def test_a_path_that_names_nobody_is_refused(service: Service, path: str) -> None:
    answer = service.delete(path)
    assert (answer.status_code, answer.json()["details"][0]["path"]) == (400, "customerId")


def test_erasing_again_or_somebody_unknown_is_fine(service: Service) -> None:
    assert service.delete("/customers/nobody").status_code == 204
    assert service.delete("/customers/nobody").status_code == 204


def test_links_of_an_erased_customer_are_dead(service: Service) -> None:
    url = service.upload(externalUserId="ann").json()["imageUrl"]
    service.delete("/customers/ann")
    assert service.client.get(url).status_code == 404


def test_a_photo_without_a_customer_goes_with_the_customer_of_its_first_try_on(service: Service) -> None:
    image = service.upload().json()
    started = service.client.post(
        f"{API}/try-on",
        headers={"x-api-key": service.key},
        json={
            "products": [{"title": "mock", "images": [{"source": {"id": service.upload().json()["imageId"]}}]}],
            "person": {"image": {"source": {"id": image["imageId"]}}},
            "externalUserId": "ann",
        },
    )
    assert started.status_code == 202
    assert service.delete("/customers/ann").headers["x-images-erased"] == "1"
    assert not is_there(service, image["imageId"])
    assert service.client.get(image["imageUrl"]).status_code == 404


@pytest.mark.parametrize("customer", ["/", "//", "///"])
def test_an_id_of_slashes_alone_is_refused_where_it_would_be_kept(service: Service, customer: str) -> None:
    refused = service.upload(externalUserId=customer)
    assert (refused.status_code, refused.json()["details"][0]["path"]) == (400, "externalUserId")


def test_a_record_of_somebody_unknown_is_forgotten_after_30_days_and_another_is_not(service: Service) -> None:
    service.upload(externalUserId="ann")
    ids = [service.delete(f"/customers/{customer}").headers["x-erasure-id"] for customer in ("ann", "nobody")]
    service.clock.advance(days=30, seconds=1)
    service.run(service.container.purge_overdue().execute())
    assert [service.get(f"/erasures/{erasure_id}").status_code for erasure_id in ids] == [200, 404]


def test_links_end_with_their_account(service: Service) -> None:
    link = service.upload().json()["imageUrl"]
    assert service.client.get(link).status_code == 200
    change = service.container.change_account().execute
    service.run(change("default", lambda account: replace(account, is_active=False)))
    assert (service.client.get(link).status_code, service.client.head(link).status_code) == (404, 404)
    service.run(change("default", lambda account: replace(account, is_active=True)))
    assert service.client.get(link).status_code == 200


def test_another_accounts_customer_of_the_same_id_is_somebody_else(service: Service) -> None:
    stranger = service.new_account("stranger")
    image_id = service.upload(externalUserId="ann").json()["imageId"]
    assert service.delete("/customers/ann", key=stranger).status_code == 204
    assert is_there(service, image_id)


def test_an_upload_after_the_erasure_lives(service: Service) -> None:
    service.delete("/customers/ann")
    assert is_there(service, service.upload(externalUserId="ann").json()["imageId"])


@pytest.mark.parametrize(
    "path",
    [
        "/customers/",
        "/customers/%ff",
        "/customers/" + "x" * 257,
        "/customers/a?b",
        "/customers/a?",
        "/customers/undefined",
        "/customers/%2F%2F",
        "/customers//",
        "//customers/ann",
        "/%63ustomers/ann",
        "/customers/a%0Ab",
    ],
)
def test_an_id_that_cannot_be_meant_is_refused_instead_of_guessed(service: Service, path: str) -> None:
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
        assert (answer.json()["status"], answer.json()["imagesErased"]) == ("ERASING", 1)
        assert not is_there(service, image_id)
    assert service.delete("/customers/ann").status_code == 204


async def cannot_delete(names: Iterable[str]) -> frozenset[str]:
    """What an object store says during an outage."""
    return frozenset(names)


def test_an_erasure_is_found_by_its_id_and_by_its_own_account_only(service: Service) -> None:
    service.upload(externalUserId="ann")
    erased = erased_by_post(service, {"customerId": "ann"}).json()
    assert service.get(f"/erasures/{erased['erasureId']}").json() == {**erased, "status": "ERASED", "imagesErased": 1}
    unknown = service.get("/erasures/era_unknown")
    assert (unknown.status_code, unknown.json()["code"]) == (404, "ERASURE_NOT_FOUND")


def test_an_erasure_that_found_something_is_entered_in_the_audit_log_with_its_key(
    service: Service,
) -> None:
    service.upload(externalUserId="ann")
    erased = erased_by_post(service, {"customerId": "ann"}).json()
    erased_by_post(service, {"customerId": "ann"})
    entries = [entry for entry in service.run(entries_of(service)) if entry.action is Action.CUSTOMER_ERASED]
    assert [(entry.actor, entry.subject, entry.facts) for entry in entries] == [
        (f"key {service.key.split('_')[1]}", erased["erasureId"], {"images": 1})
    ]


async def entries_of(service: Service) -> tuple[AuditEntry, ...]:
    async with service.work.read() as repositories:
        return await repositories.audit.entries(None, None, None, 99)
