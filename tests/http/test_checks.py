"""A check of a photo: what an upload would answer, and nothing is kept."""

from typing import Any

import pytest

from tests.http.conftest import API, Service, a_jpeg

OF_A_STORED_IMAGE = {"imageId", "imageUrl", "imageUrlExpiresAt", "createdAt", "expiresAt", "keepForDays"}


def check(service: Service, photo: bytes, **fields: str) -> Any:
    files = {"file": ("photo.jpg", photo, "image/jpeg")}
    return service.client.post(f"{API}/images/check", files=files, data=fields, headers={"x-api-key": service.key})


def test_a_check_says_what_an_upload_would_and_keeps_nothing(service: Service) -> None:
    checked = check(service, a_jpeg(), keepforday="1")
    assert checked.status_code == 200
    assert service.objects._objects == {}
    uploaded = service.upload(None, keepforday="1").json()
    same = {
        name: value for name, value in uploaded.items() if name not in {*OF_A_STORED_IMAGE, "contentType", "sizeBytes"}
    }
    assert checked.json() == same


def test_a_check_refuses_what_an_upload_refuses(service: Service) -> None:
    for photo, fields in ((b"", {}), (b"GIF89a", {}), (a_jpeg()[:-400], {}), (a_jpeg(), {"keepForDays": "2"})):
        uploaded, checked = service.upload(photo, **fields), check(service, photo, **fields)
        assert checked.status_code == uploaded.status_code
        assert checked.json()["code"] == uploaded.json()["code"]


@pytest.mark.parametrize("fit", ["Crop", " pad", "pad ", "null", "[]", "0", "\0", "__not_in_enum__"])
def test_a_fit_that_is_none_is_named_wherever_one_is_sent(service: Service, fit: str) -> None:
    ticket = service.client.post(f"{API}/upload-tickets", json={"fit": fit}, headers={"x-api-key": service.key})
    for answer in (service.upload(fit=fit), check(service, a_jpeg(), fit=fit), ticket):
        assert (answer.status_code, answer.json()["code"]) == (400, "VALIDATION_FAILED")
        assert [problem["path"] for problem in answer.json()["details"]] == ["fit"]
