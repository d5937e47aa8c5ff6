"""Upload tickets: what a shopper's browser may do with one, and what ends it."""

import asyncio
import base64
import json
from dataclasses import replace
from typing import Any

import pytest

from adapters.memory.surroundings import InProcessPhotoProcessor
from application.authenticate import DEFAULT_ACCOUNT, Ticket
from domain.account import KeyId, PresentedKey
from domain.errors import InvalidImage
from tests.http.conftest import API, Service, a_jpeg
from tests.http.test_refusals import refused


def a_ticket(service: Service, **terms: Any) -> dict[str, Any]:
    answer = service.client.post(f"{API}/upload-tickets", json=terms, headers={"x-api-key": service.key})
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


def upload(service: Service, ticket: str, photo: bytes | None = None, path: str = "upload", **fields: str) -> Any:
    files = {"file": ("photo.jpg", a_jpeg() if photo is None else photo, "image/jpeg")}
    headers = {"authorization": f"Bearer {ticket}", "origin": "https://shop.test"}
    return service.client.post(f"{API}/images/{path}", files=files, data=fields, headers=headers)


def test_a_ticket_uploads_one_photo_as_it_says(service: Service) -> None:
    made = a_ticket(service, externalUserId="ann", keepForDays=3, crop=False)
    assert made["uploadUrl"] == "http://photos.test/tryon/v1/images/upload"
    assert made["expiresAt"] == "2026-11-22T12:10:00Z"
    answer = upload(service, made["ticket"], externalUserId="bob", keepForDays="7", crop="true")
    assert answer.status_code == 201
    assert (answer.json()["keepForDays"], "crop" in answer.json()) == (3, False)
    assert service.delete("/customers/bob").headers["x-images-erased"] == "0"
    assert service.delete("/customers/ann").headers["x-images-erased"] == "1"


@pytest.mark.parametrize("scheme", ["bearer", "BEARER", "Bearer "])
def test_the_scheme_of_a_ticket_may_be_written_in_any_case(service: Service, scheme: str) -> None:
    headers = {"authorization": f"{scheme} {a_ticket(service)['ticket']}"}
    files = {"file": ("photo.jpg", a_jpeg(), "image/jpeg")}
    assert service.client.post(f"{API}/images/upload", files=files, headers=headers).status_code == 201


def test_the_same_photo_again_is_the_same_image_and_another_one_is_refused(service: Service) -> None:
    ticket = a_ticket(service)["ticket"]
    first = upload(service, ticket).json()
    assert upload(service, ticket).json()["imageId"] == first["imageId"]
    refused(upload(service, ticket, a_jpeg(500, 500)), "TICKET_USED")


def test_a_photo_that_is_refused_does_not_spend_the_ticket(service: Service) -> None:
    ticket = a_ticket(service)["ticket"]
    refused(upload(service, ticket, b"text"), "UNSUPPORTED_IMAGE_FORMAT")
    assert upload(service, ticket).status_code == 201


def test_another_photo_waits_until_it_is_known_whether_the_first_one_spends_the_ticket(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    ticket, meanwhile = a_ticket(service)["ticket"], []

    async def refuse_after_another_came(*_: Any, **__: Any) -> None:
        monkeypatch.undo()
        meanwhile.append(await asyncio.to_thread(upload, service, ticket, a_jpeg(500, 500)))
        raise InvalidImage

    monkeypatch.setattr(InProcessPhotoProcessor, "prepare", refuse_after_another_came)
    refused(upload(service, ticket), "INVALID_IMAGE")
    refused(meanwhile[0], "IDEMPOTENCY_KEY_IN_USE")
    assert meanwhile[0].headers["retry-after"] == "2"
    assert upload(service, ticket, a_jpeg(500, 500)).status_code == 201
    refused(upload(service, ticket), "TICKET_USED")


@pytest.mark.parametrize("seconds", [60, 600, 3600])
def test_a_ticket_is_over_at_its_time(service: Service, seconds: int) -> None:
    ticket = a_ticket(service, expiresInSeconds=seconds)["ticket"]
    service.clock.advance(seconds=seconds - 1)
    assert upload(service, ticket).status_code == 201
    service.clock.advance(seconds=1)
    refused(upload(service, ticket), "INVALID_TICKET")


def test_erasing_its_customer_ends_a_ticket_for_all_of_its_hour_and_no_other(service: Service) -> None:
    anns, bobs = (a_ticket(service, externalUserId=name, expiresInSeconds=3600)["ticket"] for name in ("ann", "bob"))
    service.delete("/customers/ann")
    service.clock.advance(minutes=59)
    service.run(service.container.purge_overdue().execute())
    refused(upload(service, anns), "INVALID_TICKET")
    assert upload(service, bobs).status_code == 201
    assert upload(service, a_ticket(service, externalUserId="ann")["ticket"]).status_code == 201


def test_revoking_its_key_ends_a_ticket(service: Service) -> None:
    ticket = a_ticket(service)["ticket"]
    presented = PresentedKey.parse(service.key)
    assert presented is not None
    service.run(service.container.revoke_key().execute(KeyId(presented.key_id)))
    refused(upload(service, ticket), "INVALID_TICKET")


def test_deactivating_its_account_ends_a_ticket(service: Service) -> None:
    ticket = a_ticket(service)["ticket"]
    change = service.container.change_account().execute(DEFAULT_ACCOUNT, lambda each: replace(each, is_active=False))
    service.run(change)
    refused(upload(service, ticket), "INVALID_TICKET")


def forged(ticket: str) -> list[str]:
    payload, signature = ticket.removeprefix("tkt_").split(".")
    fields = json.loads(base64.urlsafe_b64decode(payload + "=="))
    fields[5] = 7
    longer = base64.urlsafe_b64encode(json.dumps(fields).encode()).rstrip(b"=").decode()
    return [
        f"tkt_{longer}.{signature}",
        f"tkt_{payload}.{signature[:-2]}AA",
        f"tkt_{payload}.",
        f"tkt_{payload}",
        "tkt_",
        "tkt_.",
        "tkt_" + "A" * 5000,
        "tkt_" + base64.urlsafe_b64encode(b"[" * 3000).decode() + ".AA",
        "tkt_" + base64.urlsafe_b64encode(b'["a","b",1,1e999,null,null,null,null]').decode() + ".AA",
    ]


def test_a_forged_ticket_is_refused(service: Service) -> None:
    for ticket in forged(a_ticket(service, keepForDays=1)["ticket"]):
        refused(upload(service, ticket), "INVALID_TICKET")


@pytest.mark.parametrize("key_id", ["\ud800", "a\0b", "", "x" * 1000, 7, None, ["a"]])
def test_a_ticket_of_a_key_that_nobody_can_have_is_none(key_id: Any) -> None:
    """It is looked up before its signature is checked, and some of it no database takes."""
    payload = base64.urlsafe_b64encode(json.dumps(["t", key_id, 0, 4e9, *[None] * 4]).encode()).rstrip(b"=").decode()
    assert Ticket.parse(f"tkt_{payload}.AAAA") is None


def test_a_ticket_opens_nothing_else(service: Service) -> None:
    ticket = a_ticket(service)["ticket"]
    image_id = upload(service, ticket).json()["imageId"]
    headers = {"authorization": f"Bearer {ticket}"}
    refused(service.client.get(f"{API}/images/{image_id}", headers=headers), "MISSING_API_KEY")
    refused(service.client.post(f"{API}/upload-tickets", json={}, headers=headers), "MISSING_API_KEY")
    refused(service.client.get(f"{API}/images/{image_id}", headers={"x-api-key": ticket}), "INVALID_API_KEY")


def test_a_ticket_allows_twenty_checks(service: Service) -> None:
    ticket = a_ticket(service)["ticket"]
    for _ in range(20):
        assert upload(service, ticket, path="check").status_code == 200
    assert "All 20 checks" in refused(upload(service, ticket, path="check"), "TICKET_USED")["message"]
    assert upload(service, ticket).status_code == 201


@pytest.mark.parametrize(
    ("terms", "path"),
    [
        ({"externalUserId": ""}, "externalUserId"),
        ({"externalUserId": 7}, "externalUserId"),
        ({"externalUserId": "undefined"}, "externalUserId"),
        ({"keepForDays": 2}, "keepForDays"),
        ({"keepForDays": True}, "keepForDays"),
        ({"crop": "yes"}, "crop"),
        ({"fit": "stretch"}, "fit"),
        ({"expiresInSeconds": 59}, "expiresInSeconds"),
        ({"expiresInSeconds": 3601}, "expiresInSeconds"),
        ({"expiresInSeconds": 60.5}, "expiresInSeconds"),
    ],
)
def test_malformed_terms_are_named(service: Service, terms: dict[str, Any], path: str) -> None:
    answer = service.client.post(f"{API}/upload-tickets", json=terms, headers={"x-api-key": service.key})
    assert [problem["path"] for problem in refused(answer, "VALIDATION_FAILED")["details"]] == [path]


def test_a_term_that_nobody_knows_is_answered_with_the_one_that_was_meant(service: Service) -> None:
    warnings = a_ticket(service, customerId="ann", keep_for_days=3)["warnings"]
    assert [warning["code"] for warning in warnings] == ["UNKNOWN_FIELD"] * 2
    assert 'Did you mean "externalUserId"?' in warnings[0]["message"]
    assert 'Did you mean "keepForDays"?' in warnings[1]["message"]
    assert "warnings" not in a_ticket(service, externalUserId="ann")


def test_the_same_request_for_a_ticket_gets_the_same_ticket(service: Service) -> None:
    def ask(**terms: Any) -> Any:
        headers = {"x-api-key": service.key, "idempotency-key": "k"}
        return service.client.post(f"{API}/upload-tickets", json=terms, headers=headers)

    first = ask(externalUserId="ann").json()
    service.clock.advance(seconds=5)
    assert ask(externalUserId="ann").json() == first
    refused(ask(externalUserId="bob"), "IDEMPOTENCY_KEY_REUSED")


def test_pages_of_other_origins_may_use_tickets_and_nothing_else(service: Service) -> None:
    asked = {"origin": "https://shop.test", "access-control-request-method": "POST"}
    for path in ("/images/upload", "/images/check"):
        preflight = service.client.options(API + path, headers=asked)
        assert preflight.status_code == 204
        assert preflight.headers["access-control-allow-origin"] == "*"
        assert "authorization" in preflight.headers["access-control-allow-headers"]
    assert upload(service, "tkt_x.y").headers["access-control-allow-origin"] == "*"  # refusals can be read, too
    for path in ("/upload-tickets", "/try-on", "/products", "/images/img_1"):
        assert "access-control-allow-origin" not in service.client.options(API + path, headers=asked).headers
