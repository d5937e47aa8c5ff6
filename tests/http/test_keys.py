"""Scopes, ends and rates of keys, as a client meets them."""

import asyncio
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from application.authenticate import DEFAULT_ACCOUNT
from application.manage_accounts import KeyGrant, NewKey
from domain.account import ApiKey, KeyScope
from entrypoints.http.admission import SCOPE_OF
from tests.http.conftest import API, Service, a_jpeg
from tests.http.test_refusals import refused
from tests.telemetry.observed import observed_service

DOCUMENT = yaml.safe_load((Path(__file__).parents[2] / "entrypoints" / "http" / "openapi.yaml").read_text())


@dataclass
class Holder:
    """Somebody with a key of the default account."""

    service: Service
    made: NewKey
    answers: list[Any] = field(default_factory=list)

    def asks(self, method: str, path: str, **more: Any) -> Any:
        return self.service.client.request(method, API + path, headers={"x-api-key": self.made.secret}, **more)

    def uploads(self) -> Any:
        return self.asks("POST", "/images/upload", files={"file": ("a.jpg", a_jpeg(), "image/jpeg")})

    def key(self) -> ApiKey:
        async def read() -> ApiKey:
            async with self.service.work.read() as repositories:
                found = await repositories.accounts.find_key(self.made.key.key_id)
            assert found is not None
            return found[0]

        kept: ApiKey = self.service.run(read())
        return kept


def a_holder(service: Service, *scopes: KeyScope, **grant: Any) -> Holder:
    granted = KeyGrant(frozenset(scopes or KeyScope), **grant)
    return Holder(service, service.run(service.container.create_key().execute("default", "kiosk-7", grant=granted)))


def test_a_key_for_uploads_uploads_and_does_nothing_else(service: Service) -> None:
    kiosk = a_holder(service, KeyScope.UPLOAD)
    assert kiosk.uploads().status_code == 201
    image = service.upload().json()["imageId"]
    for method, path, more in (
        ("GET", f"/images/{image}", {}),
        ("DELETE", f"/images/{image}", {}),
        ("DELETE", "/customers/ann", {}),
        ("POST", "/customers/erase", {"json": {"customerId": "ann"}}),
        ("POST", "/try-on", {"json": {}}),
        ("GET", "/generations/gen_1", {}),
    ):
        answer = kiosk.asks(method, path, **more)
        refused(answer, "FORBIDDEN")
        assert answer.status_code == 403
    assert service.get(f"/images/{image}").status_code == 200


@pytest.mark.parametrize(
    ("scope", "method", "path", "status"),
    [
        (KeyScope.READ, "GET", "/images/img_1", 404),
        (KeyScope.ERASE, "DELETE", "/images/img_1", 204),
        (KeyScope.TRY_ON, "GET", "/generations/gen_1", 404),
    ],
)
def test_a_scope_opens_what_it_names(service: Service, scope: KeyScope, method: str, path: str, status: int) -> None:
    assert a_holder(service, scope).asks(method, path).status_code == status
    others = a_holder(service, *(set(KeyScope) - {scope}))
    assert others.asks(method, path).json()["code"] == "FORBIDDEN"


def test_every_operation_of_the_contract_that_takes_a_key_has_a_scope() -> None:
    operations = [
        operation
        for path, item in DOCUMENT["paths"].items()
        for method, operation in item.items()
        if path.startswith(API) and method in {"get", "post", "delete"}
    ]
    with_key = {operation["operationId"] for operation in operations if operation.get("security") != []}
    assert with_key == set(SCOPE_OF)


def test_a_key_works_until_it_expires(service: Service) -> None:
    kiosk = a_holder(service, lifetime=timedelta(days=90))
    service.clock.advance(days=90, seconds=-1)
    assert kiosk.uploads().status_code == 201
    service.clock.advance(seconds=1)
    refused(kiosk.uploads(), "INVALID_API_KEY")


def test_a_rotated_key_works_beside_its_successor_until_the_overlap_is_over(service: Service) -> None:
    old = a_holder(service, KeyScope.UPLOAD, KeyScope.READ, lifetime=timedelta(days=90), requests_per_minute=60)
    service.clock.advance(days=80)
    new = Holder(service, service.run(service.container.rotate_key().execute(old.made.key.key_id, timedelta(days=7))))
    assert (new.made.key.scopes, new.made.key.requests_per_minute) == (old.made.key.scopes, 60)
    assert old.uploads().status_code == new.uploads().status_code == 201
    service.clock.advance(days=7)
    refused(old.uploads(), "INVALID_API_KEY")
    service.clock.advance(days=82, seconds=-2)
    assert new.uploads().status_code == 201


def test_an_overlap_prolongs_no_key(service: Service) -> None:
    old = a_holder(service, lifetime=timedelta(days=1))
    service.run(service.container.rotate_key().execute(old.made.key.key_id, timedelta(days=7)))
    service.clock.advance(days=1)
    refused(old.uploads(), "INVALID_API_KEY")


def test_the_last_use_is_noted_once_an_hour(service: Service) -> None:
    kiosk = a_holder(service)
    assert kiosk.key().last_used_at is None
    kiosk.uploads()
    first = kiosk.key().last_used_at
    assert first == service.clock.now()
    service.clock.advance(minutes=59)
    kiosk.uploads()
    assert kiosk.key().last_used_at == first
    service.clock.advance(minutes=1)
    kiosk.uploads()
    assert kiosk.key().last_used_at == service.clock.now()


def test_a_refused_key_is_not_in_use(service: Service) -> None:
    kiosk = a_holder(service)
    service.run(service.container.revoke_key().execute(kiosk.made.key.key_id))
    refused(kiosk.uploads(), "INVALID_API_KEY")
    assert kiosk.key().last_used_at is None


def test_a_keys_own_rate_bounds_it_and_nobody_else(service: Service) -> None:
    kiosk = a_holder(service, requests_per_minute=2)
    assert [kiosk.asks("GET", "/images/img_1").status_code for _ in range(3)] == [404, 404, 429]
    refused_one = kiosk.asks("GET", "/images/img_1")
    assert refused_one.headers["retry-after"] == "30"
    assert refused_one.headers["ratelimit-policy"] == '"key";q=2;w=60'
    assert service.get("/images/img_1").status_code == 404


def test_the_key_id_is_in_every_line_also_of_a_refusal(tmp_path: Path) -> None:
    with observed_service(tmp_path) as service:
        grant = KeyGrant(frozenset({KeyScope.UPLOAD}))
        made: NewKey = asyncio.run(service.container.create_key().execute(DEFAULT_ACCOUNT, "k", grant=grant))
        for key in (made.secret, made.secret + "x", "gk_unknown_secret"):
            service.client.get(f"{API}/images/img_1", headers={"x-api-key": key})
        lines = service.lines("request")
    assert [(line["code"], line.get("key_id")) for line in lines] == [
        ("FORBIDDEN", made.key.key_id),
        ("INVALID_API_KEY", made.key.key_id),
        ("INVALID_API_KEY", None),
    ]
    assert made.secret not in str(lines)
