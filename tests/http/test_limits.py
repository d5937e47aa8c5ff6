"""Limits on what an account asks and keeps, as a client sees them."""

from dataclasses import replace
from pathlib import Path

import pytest

from application.authenticate import DEFAULT_ACCOUNT
from domain.account import Account
from entrypoints.wiring.settings import Settings
from tests.http.conftest import API, Service, a_jpeg


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(data_dir=tmp_path, public_url="http://photos.test", rate_limit_per_minute=3)


def change(service: Service, **limits: int) -> None:
    def changed(account: Account) -> Account:
        return replace(account, **limits)  # type: ignore[arg-type]  # a test names the fields by words

    service.run(service.container.change_account().execute(DEFAULT_ACCOUNT, changed))


def test_every_counted_answer_says_what_is_left(service: Service) -> None:
    answers = [service.get("/images/img_1") for _ in range(3)]
    assert [answer.headers["ratelimit"] for answer in answers] == [
        '"requests";r=2;t=20',
        '"requests";r=1;t=40',
        '"requests";r=0;t=60',
    ]
    assert {answer.headers["ratelimit-policy"] for answer in answers} == {'"requests";q=3;w=60'}


def test_one_too_many_is_refused_until_the_time_that_is_told(service: Service) -> None:
    for _ in range(3):
        service.get("/images/img_1")
    refused = service.upload()
    assert (refused.status_code, refused.json()["code"], refused.json()["status"]) == (429, "RATE_LIMITED", 429)
    assert refused.headers["retry-after"] == "20"
    assert refused.headers["ratelimit"] == '"requests";r=0;t=60'
    service.clock.advance(seconds=19)
    assert service.upload().status_code == 429
    service.clock.advance(seconds=1)
    assert service.upload().status_code == 201


def test_one_accounts_haste_is_not_anothers_wait(service: Service) -> None:
    stranger = service.new_account("stranger")
    for _ in range(4):
        service.get("/images/img_1")
    assert service.get("/images/img_1", key=stranger).status_code == 404


def test_what_needs_no_key_is_not_counted(service: Service) -> None:
    for _ in range(5):
        assert service.client.get("/health/live").status_code == 200
        assert service.client.get(f"{API}/images/img_1").json()["code"] == "MISSING_API_KEY"
    assert "ratelimit" not in service.client.get("/health/live").headers


def test_polls_come_out_of_a_bucket_of_their_own(service: Service) -> None:
    for _ in range(3):
        service.get("/images/img_1")
    polled = service.get("/generations/gen_1")
    assert (polled.status_code, polled.headers["ratelimit-policy"]) == (404, '"polls";q=90;w=60')
    assert service.get("/images/img_1").status_code == 429


def test_an_account_may_have_a_limit_of_its_own_or_none(service: Service) -> None:
    change(service, requests_per_minute=5)
    assert service.get("/images/img_1").headers["ratelimit-policy"] == '"requests";q=5;w=60'
    change(service, requests_per_minute=0)
    for _ in range(10):
        answer = service.get("/images/img_1")
        assert answer.status_code == 404
        assert "ratelimit" not in answer.headers


def test_an_account_keeps_no_more_images_than_it_may(service: Service) -> None:
    change(service, requests_per_minute=0, max_live_images=2)
    first = service.upload(keepForDays="1").json()["imageId"]
    service.upload(keepForDays="7")
    refused = service.upload()
    assert (refused.status_code, refused.json()["code"]) == (403, "QUOTA_EXCEEDED")
    service.delete(f"/images/{first}")
    assert service.upload().status_code == 201


def test_a_request_that_is_repeated_by_its_key_needs_no_room(service: Service) -> None:
    change(service, requests_per_minute=0, max_live_images=1)
    headers, files = {"x-api-key": service.key, "idempotency-key": "k"}, {"file": ("a.jpg", a_jpeg(), "image/jpeg")}
    first = service.client.post(f"{API}/images/upload", headers=headers, files=files)
    again = service.client.post(f"{API}/images/upload", headers=headers, files=files)
    assert (first.status_code, again.status_code) == (201, 201)
    assert again.json()["imageId"] == first.json()["imageId"]
