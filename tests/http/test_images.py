"""Uploading, looking up and deleting, as a client sees it."""

import io
from datetime import datetime

import pytest
from PIL import Image

from tests.http.conftest import Service, a_jpeg

LIFETIME_OF_A_LINK = 15 * 60


def names(service: Service) -> list[str]:
    async def listed() -> list[str]:
        return [name async for name in service.objects.names()]

    return list(service.run(listed()))


def test_an_upload_is_answered_with_all_that_the_contract_promises(service: Service) -> None:
    answer = service.upload(a_jpeg(3000, 4000), keepForDays="3")
    body = answer.json()
    assert answer.status_code == 201
    assert body.pop("imageId").startswith("img_")
    assert body.pop("imageUrl").startswith("http://photos.test/tryon/v1/previews/img_")
    size_bytes = body.pop("sizeBytes")
    warnings = [warning["code"] for warning in body.pop("warnings")]
    assert body == {
        "imageUrlExpiresAt": "2026-11-22T12:15:00Z",
        "createdAt": "2026-11-22T12:00:00Z",
        "expiresAt": "2026-11-25T12:00:00Z",
        "keepForDays": 3,
        "width": 1600,
        "height": 2000,
        "contentType": "image/jpeg",
        "source": {"format": "JPEG", "width": 3000, "height": 4000},
        "crop": {"x": 0, "y": 125, "width": 3000, "height": 3750},
    }
    assert "NO_PERSON_DETECTED" in warnings
    assert size_bytes == len(service.run(service.objects.get(names(service)[0])))


def test_the_link_shows_the_stored_picture_without_a_key(service: Service) -> None:
    body = service.upload(a_jpeg(480, 600)).json()
    shown = service.client.get(body["imageUrl"])
    assert shown.status_code == 200
    assert shown.headers["content-type"] == "image/jpeg"
    assert shown.headers["cache-control"] == "private, no-store"
    with Image.open(io.BytesIO(shown.content)) as picture:
        assert picture.size == (480, 600)


def test_an_image_can_be_looked_up_again_with_a_fresh_link(service: Service) -> None:
    first = service.upload().json()
    service.clock.advance(minutes=10)
    again = service.get(f"/images/{first['imageId']}")
    assert again.status_code == 200
    assert again.json()["imageUrlExpiresAt"] == "2026-11-22T12:25:00Z"
    ours = {"imageUrl", "imageUrlExpiresAt"}
    assert {k: v for k, v in again.json().items() if k not in ours} == {k: v for k, v in first.items() if k not in ours}


def test_crop_false_keeps_the_framing(service: Service) -> None:
    body = service.upload(a_jpeg(800, 400), crop="false").json()
    assert (body["width"], body["height"]) == (800, 400)
    assert "crop" not in body
    assert "person" not in body


@pytest.mark.parametrize("crop", ["FALSE", "0", "False"])
def test_booleans_come_in_any_case_and_as_digits(service: Service, crop: str) -> None:
    assert "crop" not in service.upload(crop=crop).json()


def test_the_accounts_own_window_is_the_default(service: Service) -> None:
    assert service.upload().json()["keepForDays"] == 7


def test_an_empty_optional_field_counts_as_not_sent(service: Service) -> None:
    body = service.upload(keepForDays="", externalUserId="", crop="", fit="").json()
    assert body["keepForDays"] == 7
    assert "crop" in body


@pytest.mark.parametrize(
    ("alias", "value", "new"), [("retentionDays", "3", "keepForDays"), ("customerId", "ann", "externalUserId")]
)
def test_a_deprecated_alias_works_and_says_what_to_send_instead(
    service: Service, alias: str, value: str, new: str
) -> None:
    body = service.upload(None, **{alias: value}).json()
    message = next(warning["message"] for warning in body["warnings"] if warning["code"] == "DEPRECATED_FIELD")
    assert new in message
    if alias == "customerId":
        service.delete("/customers/ann")
        assert service.get(f"/images/{body['imageId']}").status_code == 404
    else:
        assert body["keepForDays"] == 3


def test_an_alias_that_contradicts_its_new_name_is_refused(service: Service) -> None:
    answer = service.upload(keepForDays="3", retentionDays="7")
    assert answer.status_code == 400
    assert [problem["path"] for problem in answer.json()["details"]] == ["retentionDays"]


def test_an_alias_that_agrees_with_its_new_name_is_fine(service: Service) -> None:
    assert service.upload(keepForDays="3", retentionDays="3").json()["keepForDays"] == 3


def test_a_deleted_image_is_gone_at_once_with_its_bytes_and_links(service: Service) -> None:
    body = service.upload().json()
    assert service.delete(f"/images/{body['imageId']}").status_code == 204
    assert service.get(f"/images/{body['imageId']}").json()["code"] == "IMAGE_NOT_FOUND"
    assert service.client.get(body["imageUrl"]).status_code == 404
    assert names(service) == []
    assert service.delete(f"/images/{body['imageId']}").status_code == 204


def test_an_image_of_another_account_is_not_found_and_not_deleted(service: Service) -> None:
    image_id = service.upload().json()["imageId"]
    stranger = service.new_account("stranger")
    assert service.get(f"/images/{image_id}", key=stranger).json()["code"] == "IMAGE_NOT_FOUND"
    assert service.delete(f"/images/{image_id}", key=stranger).status_code == 204
    assert service.get(f"/images/{image_id}").status_code == 200


def test_from_the_instant_of_expiry_on_an_image_is_gone_even_if_no_purger_ran(service: Service) -> None:
    body = service.upload(keepForDays="1").json()
    service.clock.time = datetime.fromisoformat(body["expiresAt"])
    service.clock.advance(seconds=-1)
    late = service.get(f"/images/{body['imageId']}").json()
    assert late["imageUrlExpiresAt"] == late["expiresAt"]
    assert service.client.get(late["imageUrl"]).status_code == 200
    service.clock.advance(seconds=1)
    assert service.get(f"/images/{body['imageId']}").status_code == 404
    assert service.client.get(late["imageUrl"]).status_code == 404


def test_purging_takes_the_bytes_of_expired_images_and_no_others(service: Service) -> None:
    service.upload(keepForDays="1")
    kept = service.upload(keepForDays="3").json()
    service.clock.advance(days=2)
    report = service.run(service.container.purge_overdue().execute())
    assert (report.expired, report.removed) == (1, 1)
    assert names(service) == [f"ttl-3d/{kept['imageId']}.jpg"]


def test_a_link_is_dead_when_its_time_is_over_or_anything_in_it_was_changed(service: Service) -> None:
    url = service.upload().json()["imageUrl"]
    for forged in (url.replace("expires=1", "expires=9"), url[:-1] + ("A" if url[-1] != "A" else "B"), url + "x"):
        assert service.client.get(forged).json()["code"] == "IMAGE_NOT_FOUND"
    service.clock.advance(seconds=LIFETIME_OF_A_LINK - 1)
    assert service.client.get(url).status_code == 200
    service.clock.advance(seconds=1)
    assert service.client.get(url).status_code == 404


def test_fit_is_crop_or_pad(service: Service) -> None:
    refused = service.upload(fit="stretch")
    assert refused.status_code == 400
    assert refused.json()["details"] == [{"path": "fit", "message": "must be crop or pad"}]
    assert service.upload(fit="pad").status_code == 201
