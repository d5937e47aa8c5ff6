"""Where the playground is served and where not, and what it may load."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from litestar.testing import TestClient

from adapters.memory.object_store import InMemoryObjectStore
from adapters.memory.unit_of_work import InMemoryUnitOfWork
from entrypoints.http.app import create_app
from entrypoints.http.playground_page import FOLDER
from entrypoints.wiring.container import Container
from entrypoints.wiring.settings import Settings, load_settings
from tests.http.conftest import Service, an_in_process_processor


@pytest.mark.parametrize(
    ("host", "setting", "is_shown"),
    [
        ("127.0.0.1", "", True),
        ("127.9.9.9", "", True),
        ("::1", "", True),
        ("localhost", "", True),
        ("0.0.0.0", "", False),
        ("::", "", False),
        ("photos.internal", "", False),
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


def test_the_page_and_all_its_files_are_served_under_a_strict_policy(service: Service) -> None:
    for path in ("/", *(f"/playground/{file.name}" for file in FOLDER.iterdir())):
        answer = service.client.get(path)
        assert answer.status_code == 200
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'; script-src 'self'; style-src 'self';" in policy
        assert "unsafe" not in policy
        assert answer.headers["x-content-type-options"] == "nosniff"


def test_pictures_may_come_from_where_links_lead_to(service: Service) -> None:
    policy = service.client.get("/").headers["content-security-policy"]
    assert "img-src 'self' blob: http://photos.test;" in policy
