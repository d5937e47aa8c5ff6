"""The playground: places where it is served, and all that it may load."""

import asyncio
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from litestar.testing import TestClient

from adapters.memory.surroundings import InMemoryObjectStore
from adapters.memory.unit_of_work import InMemoryUnitOfWork
from application.authenticate import DEFAULT_ACCOUNT, PagePass
from entrypoints.http.app import create_app
from entrypoints.http.pages import EXAMPLES, PLAYGROUND
from entrypoints.wiring.container import Container
from entrypoints.wiring.environment import load_settings
from entrypoints.wiring.keys import SIGN_IN_FILE, SIGN_IN_SECONDS, new_sign_in, signing_ring
from entrypoints.wiring.settings import Settings
from tests.builders import MovableClock
from tests.http.conftest import Service, account_with_key, an_in_process_processor


@pytest.mark.parametrize(
    ("host", "setting", "is_shown"),
    [
        ("127.0.0.1", "", True),
        ("127.9.9.9", "", True),
        ("::1", "", True),
        ("localhost", "", True),
        ("0.0.0.0", "", False),
        ("::", "", False),
        ("10.0.0.7", "", False),
        ("127.0.0.1", "off", False),
        ("0.0.0.0", "on", True),
    ],
)
def test_it_is_on_by_itself_only_where_no_stranger_gets_to(host: str, setting: str, is_shown: bool) -> None:
    assert load_settings({"TRYON_HOST": host, "TRYON_PLAYGROUND": setting}).shows_playground is is_shown


@pytest.fixture
def without(tmp_path: Path) -> Iterator[TestClient[Any]]:
    container = Container(
        settings=Settings(data_dir=tmp_path, host="0.0.0.0"),
        objects=InMemoryObjectStore(),
        work=InMemoryUnitOfWork(),
        processor=an_in_process_processor(),
    )
    with TestClient(create_app(container)) as client:
        yield client


def test_where_it_is_off_there_is_nothing(without: TestClient[Any]) -> None:
    for path in ("/", "/playground/main.js"):
        answer = without.get(path)
        assert (answer.status_code, answer.json()["code"]) == (404, "NOT_FOUND")


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(data_dir=tmp_path, public_url="http://photos.test", playground=True, generations_at_once=0)


def test_the_page_and_all_its_files_are_served_under_a_strict_policy(service: Service) -> None:
    names = [file.name for file in (*PLAYGROUND.iterdir(), *EXAMPLES.glob("*.jpg")) if file.is_file()]
    for path in ("/", *(f"/playground/{name}" for name in names)):
        answer = service.client.get(path)
        assert answer.status_code == 200
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'; script-src 'self'; style-src 'self';" in policy
        assert "unsafe" not in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["content-type"].count("charset") <= 1


def test_pictures_may_come_from_where_links_lead_to(service: Service) -> None:
    policy = service.client.get("/").headers["content-security-policy"]
    assert "img-src 'self' blob: http://photos.test;" in policy


@pytest.fixture
def at_home(tmp_path: Path) -> Iterator[TestClient[Any]]:
    """A service on a loopback host, where the page signs in by a link."""
    container = Container(
        settings=Settings(data_dir=tmp_path, generations_at_once=0),
        objects=InMemoryObjectStore(),
        work=InMemoryUnitOfWork(),
        processor=an_in_process_processor(),
    )
    asyncio.run(account_with_key(container, DEFAULT_ACCOUNT))
    with TestClient(create_app(container)) as client:
        yield client


def sign_in(client: TestClient[Any], token: str) -> Any:
    return client.post("/playground/sign-in", json={"token": token})


def status_with(client: TestClient[Any], key: str) -> int:
    return client.get("/tryon/v1/images/img_none", headers={"x-api-key": key}).status_code


def test_a_link_signs_in_once(at_home: TestClient[Any], tmp_path: Path) -> None:
    token = new_sign_in(Settings(data_dir=tmp_path))
    answer = sign_in(at_home, token)
    assert answer.status_code == 200
    assert status_with(at_home, answer.json()["pagePass"]) == 404  # let in: there is no such image
    assert sign_in(at_home, token).status_code == 401


def test_only_the_latest_link_signs_in(at_home: TestClient[Any], tmp_path: Path) -> None:
    earlier, _latest = (new_sign_in(Settings(data_dir=tmp_path)) for _ in range(2))
    assert sign_in(at_home, earlier).status_code == 401


def test_an_hour_later_a_link_is_over(at_home: TestClient[Any], tmp_path: Path) -> None:
    token = new_sign_in(Settings(data_dir=tmp_path))
    an_hour_ago = time.time() - SIGN_IN_SECONDS
    os.utime(tmp_path / SIGN_IN_FILE, (an_hour_ago, an_hour_ago))
    assert sign_in(at_home, token).status_code == 401


def test_a_wrong_token_uses_the_link_up(at_home: TestClient[Any], tmp_path: Path) -> None:
    token = new_sign_in(Settings(data_dir=tmp_path))
    assert sign_in(at_home, "guessed").status_code == 401
    assert sign_in(at_home, token).status_code == 401


NOT_SIGN_INS = [
    b"",
    b"{",
    b"\xff\xfe",
    b"[" * 100_000,
    b'{"token": "' + b"x" * 300_000 + b'"}',
    b'{"token": "\\ud800"}',
]


@pytest.mark.parametrize("body", NOT_SIGN_INS, ids=lambda body: body[:12])
def test_what_is_no_sign_in_is_the_clients_fault_and_uses_no_link_up(
    at_home: TestClient[Any], tmp_path: Path, body: bytes
) -> None:
    token = new_sign_in(Settings(data_dir=tmp_path))
    answer = at_home.post("/playground/sign-in", content=body)
    assert (answer.status_code, answer.json()["code"]) == (400, "VALIDATION_FAILED")
    assert sign_in(at_home, token).status_code == 200


def test_where_there_are_no_links_a_stranger_is_refused_before_the_body_is_read(service: Service) -> None:
    for body in NOT_SIGN_INS:
        assert service.client.post("/playground/sign-in", content=body).status_code == 401


def test_nobody_but_the_owner_reads_the_file_of_a_link(tmp_path: Path) -> None:
    token = new_sign_in(Settings(data_dir=tmp_path))
    file = tmp_path / SIGN_IN_FILE
    assert file.stat().st_mode & 0o777 == 0o600
    assert token.encode() not in file.read_bytes()


def test_a_pass_ends_after_eight_hours_and_cannot_be_made_longer() -> None:
    clock = MovableClock()
    page_pass = PagePass(b"k" * 32, clock)
    issued = page_pass.issue()
    assert page_pass.is_valid(issued)
    head, expires, signature = issued.split("_")
    for forged in (f"{head}_{int(expires) + 60}_{signature}", f"{head}_{expires}_", "pass_", f"{head}_{'9' * 40}_x"):
        assert not page_pass.is_valid(forged)
    assert not PagePass(b"other" * 8, clock).is_valid(issued)
    clock.advance(hours=8)
    assert not page_pass.is_valid(issued)


@pytest.mark.parametrize("public", [{"public_url": "http://photos.test"}, {"host": "0.0.0.0"}])
def test_where_strangers_get_to_no_pass_opens_anything(tmp_path: Path, public: dict[str, Any]) -> None:
    settings = Settings(data_dir=tmp_path, playground=True, generations_at_once=0, **public)
    container = Container(
        settings=settings,
        objects=InMemoryObjectStore(),
        work=InMemoryUnitOfWork(),
        processor=an_in_process_processor(),
    )
    asyncio.run(account_with_key(container, DEFAULT_ACCOUNT))
    token = new_sign_in(settings)
    with TestClient(create_app(container), base_url="http://photos.test") as client:
        assert sign_in(client, token).status_code == 401
        issued = PagePass(signing_ring(settings)[0], container.clock()).issue()
        assert status_with(client, issued) == 401
