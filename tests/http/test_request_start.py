"""The start of a request, as a trusted proxy says: what began before an erasure does not survive it, however late."""

import json
from collections.abc import Iterator
from datetime import timedelta
from ipaddress import ip_network
from typing import Any, cast

import httpx
import pytest
from litestar.enums import ScopeType
from litestar.testing import TestClient
from litestar.types import Receive, Scope, Send

from domain.errors import BegunTooLongAgo
from entrypoints.http.admission import RequestStart
from entrypoints.http.app import create_app
from entrypoints.wiring.settings import Settings
from tests.builders import NOON, MovableClock
from tests.http.conftest import API, Service, a_jpeg

PROXY, STRANGER = "10.0.0.7", "192.0.2.1"
SECONDS = NOON.timestamp()
LONGEST = timedelta(hours=3)


def request_from(client: str | None, *headers: tuple[str, str], method: str = "POST") -> Scope:
    scope = {
        "type": "http",
        "method": method,
        "client": (client, 40_000) if client else None,
        "headers": [(name.encode(), value.encode()) for name, value in headers],
    }
    return cast(Scope, scope)


def seconds_before_noon(client: str | None, *headers: tuple[str, str], method: str = "POST") -> float | None:
    start = RequestStart((ip_network("10.0.0.0/8"), ip_network("fd00::/8")), MovableClock(NOON), LONGEST)
    began = start.of(request_from(client, *headers, method=method))
    return None if began is None else (NOON - began).total_seconds()


def started(ago: float, digits: int = 0) -> tuple[str, str]:
    return "x-request-start", f"t={round((SECONDS - ago) * 10**digits)}"


@pytest.mark.parametrize(
    ("value", "ago"),
    [
        (f"t={SECONDS - 5:.3f}", 5),
        (f"{SECONDS - 5:.3f}", 5),
        (f"t={SECONDS - 5:.0f}", 5),
        (f"t={(SECONDS - 5.25) * 1e3:.0f}", 5.25),
        (f"{(SECONDS - 5.25) * 1e6:.0f}", 5.25),
    ],
)
def test_seconds_milliseconds_and_microseconds_are_told_apart(value: str, ago: float) -> None:
    assert seconds_before_noon(PROXY, ("x-request-start", value)) == pytest.approx(ago, abs=0.001)


def test_what_a_proxy_spent_on_collecting_the_body_counts() -> None:
    assert seconds_before_noon(PROXY, started(0), ("x-request-time", "7.250")) == pytest.approx(7.25)


@pytest.mark.parametrize(
    "value",
    [
        "",
        "t=",
        "t=-1",
        "t=1e9",
        "t=nan",
        "now",
        "t=12345",
        "t=1" + "0" * 4000,
        "t=١٢٣٤٥٦٧٨٩٠",
    ],
)
def test_what_is_no_time_counts_as_not_said(value: str) -> None:
    assert seconds_before_noon(PROXY, ("x-request-start", value)) is None


@pytest.mark.parametrize("value", ["-5", "nan", "inf", "1e3", "9" * 400, ""])
def test_what_is_no_duration_changes_nothing(value: str) -> None:
    assert seconds_before_noon(PROXY, started(1), ("x-request-time", value)) == pytest.approx(1)


def test_a_start_that_is_to_come_is_now_at_the_latest() -> None:
    assert seconds_before_noon(PROXY, started(-60)) == 0


def test_of_two_starts_the_earlier_counts_so_that_a_client_cannot_come_later() -> None:
    assert seconds_before_noon(PROXY, started(0), started(9)) == pytest.approx(9)


@pytest.mark.parametrize("forged", ["t=99", "now", "", f"t={SECONDS + 99:.0f}"])
def test_what_a_client_says_itself_hides_no_start_also_where_a_proxy_makes_one_line_of_both(forged: str) -> None:
    line = f"{forged}, {started(5)[1]}"
    assert seconds_before_noon(PROXY, ("x-request-start", line)) == pytest.approx(5, abs=1)


@pytest.mark.parametrize("client", [STRANGER, "fe80::1", None, "testclient"])
def test_nobody_else_is_believed(client: str | None) -> None:
    assert seconds_before_noon(client, started(9)) is None


@pytest.mark.parametrize("client", [PROXY, f"::ffff:{PROXY}", "fd00::1"])
def test_a_trusted_network_is_believed_in_either_family(client: str) -> None:
    assert seconds_before_noon(client, started(9)) == pytest.approx(9)


def test_a_start_before_all_that_is_remembered_of_erasures_is_refused_where_something_is_sent() -> None:
    with pytest.raises(BegunTooLongAgo):
        seconds_before_noon(PROXY, started(LONGEST.total_seconds() + 1))
    assert seconds_before_noon(PROXY, started(1e6), method="GET") == pytest.approx(1e6)


@pytest.fixture
def settings(tmp_path: Any) -> Settings:
    return Settings(
        data_dir=tmp_path, public_url="http://photos.test", generations_at_once=0, trusted_proxy="10.0.0.0/8"
    )


@pytest.fixture
def behind_proxy(service: Service) -> Iterator[Service]:
    """The same service, whose every request comes from the proxy."""
    app = create_app(service.container)
    inner = app.asgi_handler

    async def from_proxy(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == ScopeType.HTTP:
            scope["client"] = (PROXY, 40_000)
        await inner(scope, receive, send)

    app.asgi_handler = from_proxy
    with TestClient(app, base_url="http://photos.test") as client:
        service.client = client
        yield service


def at(service: Service, ago: float) -> dict[str, str]:
    began = service.clock.now() - timedelta(seconds=ago)
    return {"x-api-key": service.key, "x-request-start": f"t={began.timestamp():.3f}"}


def upload(service: Service, headers: dict[str, str]) -> httpx.Response:
    answer: httpx.Response = service.client.post(
        f"{API}/images/upload", files={"file": ("a.jpg", a_jpeg())}, data={"externalUserId": "ann"}, headers=headers
    )
    return answer


def try_on(service: Service, headers: dict[str, str]) -> httpx.Response:
    said = {
        "externalUserId": "ann",
        "products": [{"images": [{"fileKey": "shirt"}]}],
        "person": {"image": {"fileKey": "person"}},
    }
    files = {name: ("a.jpg", a_jpeg()) for name in ("person", "shirt")}
    answer: httpx.Response = service.client.post(
        f"{API}/try-on", data={"data": json.dumps(said)}, files=files, headers=headers
    )
    return answer


@pytest.mark.parametrize("send", [upload, try_on])
def test_what_began_before_an_erasure_is_refused_however_late_it_comes(behind_proxy: Service, send: Any) -> None:
    assert behind_proxy.delete("/customers/ann").status_code == 204
    behind_proxy.clock.advance(minutes=30)
    refused = send(behind_proxy, at(behind_proxy, 30 * 60 + 1))
    assert (refused.status_code, refused.json()["code"]) == (409, "CUSTOMER_ERASED")
    tolerated = send(behind_proxy, at(behind_proxy, 30 * 60 - 1))
    assert (tolerated.status_code, tolerated.json()["code"]) == (409, "CUSTOMER_ERASED")
    assert send(behind_proxy, at(behind_proxy, 30 * 60 - 2)).status_code in {201, 202}
    assert send(behind_proxy, {"x-api-key": behind_proxy.key}).status_code in {201, 202}


def test_the_upload_of_a_ticket_too(behind_proxy: Service) -> None:
    behind_proxy.delete("/customers/ann")
    behind_proxy.clock.advance(minutes=1)
    made = behind_proxy.client.post(
        f"{API}/upload-tickets", json={"externalUserId": "ann"}, headers={"x-api-key": behind_proxy.key}
    )
    headers = {
        "authorization": f"Bearer {made.json()['ticket']}",
        "x-request-start": at(behind_proxy, 61)["x-request-start"],
    }
    refused = behind_proxy.client.post(f"{API}/images/upload", files={"file": ("a.jpg", a_jpeg())}, headers=headers)
    assert (refused.status_code, refused.json()["code"]) == (409, "CUSTOMER_ERASED")


def test_a_client_that_is_no_proxy_changes_nothing_by_saying_so(service: Service) -> None:
    service.delete("/customers/ann")
    assert upload(service, at(service, 60)).status_code == 201
