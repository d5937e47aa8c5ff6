"""Trying on, as a client sees it: start, work off the queue, poll, look, in every shape that was ever accepted."""

import json

import pytest

from domain.errors import EngineRefused
from tests.http.conftest import a_jpeg
from tests.http.shop import ANN, ANN_URL, SHIRT, SHIRT_URL, Shop, fail_with, request, shop
from tests.http.test_refusals import refused

__all__ = ["shop"]

# The flow


def test_a_try_on_is_accepted_worked_off_and_shown(shop: Shop) -> None:
    image_id = shop.upload(ANN).json()["imageId"]
    started = shop.try_on(request({"id": image_id}))
    generation_id = started.json()["generationId"]
    assert started.status_code == 202
    assert started.json() == {
        "generationId": generation_id,
        "status": "PENDING",
        "productExternalId": "shirt-1",
        "success": True,
    }
    assert shop.generation(started) == {
        "generationId": generation_id,
        "status": "PENDING",
        "createdAt": "2026-11-22T12:00:00Z",
        "updatedAt": "2026-11-22T12:00:00Z",
        "success": True,
    }
    shop.clock.advance(seconds=3)
    done = shop.outcome(started)
    url = done.pop("resultImageUrl")
    assert done.pop("resultImageId").startswith("img_")
    assert done == {
        "generationId": generation_id,
        "status": "COMPLETED",
        "engine": "in-memory",
        "resultImageUrlExpiresAt": "2026-11-23T12:00:03Z",
        "createdAt": "2026-11-22T12:00:00Z",
        "updatedAt": "2026-11-22T12:00:03Z",
        "success": True,
    }
    shown = shop.client.get(url)
    assert (shown.status_code, shown.headers["content-type"]) == (200, "image/jpeg")
    assert shown.content == shop.client.get(shop.get(f"/images/{image_id}").json()["imageUrl"]).content


def test_a_person_by_id_is_neither_downloaded_nor_prepared_again(shop: Shop) -> None:
    image_id = shop.upload(ANN).json()["imageId"]
    assert shop.processor.prepared == [True]
    shop.try_on(request({"id": image_id}))
    assert shop.processor.prepared == [True, False]  # the shirt
    for _ in range(3):
        started = shop.try_on(
            {"products": [{"externalId": "shirt-1"}], "person": {"image": {"source": {"id": image_id}}}}
        )
        assert started.status_code == 202
    assert shop.processor.prepared == [True, False]
    assert shop.fetcher.fetched == [SHIRT_URL]
    assert len(shop.stored()) == 2


def test_a_person_by_url_goes_through_the_same_door_as_an_upload(shop: Shop) -> None:
    started = shop.try_on(request(externalUserId="ann", output={"keepForDays": 3}))
    assert shop.processor.prepared == [True, False]
    assert sorted(name[:7] for name in shop.stored()) == ["ttl-30d", "ttl-3d/"]
    shop.outcome(started)
    assert sorted(name[:7] for name in shop.stored()) == ["ttl-30d", "ttl-3d/", "ttl-3d/"]
    assert shop.delete("/customers/ann").status_code == 204
    assert [name[:7] for name in shop.stored()] == ["ttl-30d"]


def test_files_come_in_a_form_beside_the_json(shop: Shop) -> None:
    body = {
        "products": [{"images": [{"source": {"fileKey": "garment"}}]}],
        "person": {"image": {"source": {"fileKey": "selfie"}}},
    }
    started = shop.try_on_form(body, garment=SHIRT, selfie=ANN)
    assert shop.outcome(started)["status"] == "COMPLETED"
    assert started.json()["productExternalId"].startswith("prd_")
    assert shop.processor.prepared == [True, False]
    assert shop.fetcher.fetched == []


def test_a_link_of_our_own_is_resolved_inside(shop: Shop) -> None:
    url = shop.upload(ANN).json()["imageUrl"]
    assert shop.outcome(shop.try_on(request({"url": url})))["status"] == "COMPLETED"
    assert shop.fetcher.fetched == [SHIRT_URL]
    assert shop.processor.prepared == [True, False]


def test_a_link_of_our_own_that_is_over_or_another_accounts_leads_nowhere(shop: Shop) -> None:
    url = shop.upload(ANN).json()["imageUrl"]
    stranger = shop.new_account("stranger")
    refused(shop.try_on(request({"url": url}), key=stranger), "CUSTOMER_IMAGE_FETCH_FAILED")
    assert url not in shop.fetcher.fetched
    shop.clock.advance(minutes=15)
    refused(shop.try_on(request({"url": url})), "CUSTOMER_IMAGE_FETCH_FAILED")


def test_a_result_can_be_tried_on_again(shop: Shop) -> None:
    first = shop.outcome(shop.try_on(request()))
    again = shop.outcome(shop.try_on(request({"id": first["resultImageId"]})))
    assert again["status"] == "COMPLETED"


# Every shape that was ever accepted

PERSONS = [
    {"person": {"image": {"source": {"url": ANN_URL}}}},
    {"person": {"image": {"url": ANN_URL}}},
    {"person": {"source": {"url": ANN_URL}}},
    {"person": {"url": ANN_URL}},
    {"customer": {"image": {"source": {"url": ANN_URL}}}},
    {"customer": {"image": {"url": ANN_URL}}},
    {"customer": {"source": {"url": ANN_URL}}},
    {"customer": {"url": ANN_URL}},
    {"customer": {"url": ANN_URL}, "person": None},
]
IMAGES: list[dict[str, object]] = [
    {"images": [{"source": {"url": SHIRT_URL}}]},
    {"images": [{"url": SHIRT_URL}]},
    {"imageUrls": [SHIRT_URL]},
    {"images": None, "imageUrls": [SHIRT_URL, SHIRT_URL]},
    {"images": [{"url": SHIRT_URL}], "imageUrls": [SHIRT_URL]},
]
EXTRAS: list[dict[str, object]] = [
    {"customerId": "ann"},
    {"externalUserId": "ann", "customerId": "ann"},
    {"retentionDays": 3},
    {"keepForDays": 3},
    {"keepForDays": 3, "output": {"keepForDays": 3, "watermark": True, "aiLabel": False}},
    {"useWatermark": False, "output": None, "unknown": {"field": [1]}},
]


@pytest.mark.parametrize("person", PERSONS)
def test_the_person_may_come_in_every_shape(shop: Shop, person: dict[str, object]) -> None:
    started = shop.try_on({"products": [{"images": [{"url": SHIRT_URL}]}], **person})
    assert shop.outcome(started)["status"] == "COMPLETED"


@pytest.mark.parametrize("images", IMAGES)
@pytest.mark.parametrize("listed", [True, False])
def test_the_product_may_come_in_every_shape(shop: Shop, images: dict[str, object], listed: bool) -> None:
    product = {"externalId": "shirt-1", "title": "Shirt", "description": "Blue", **images}
    products = {"products": [product]} if listed else {"product": product}
    started = shop.try_on({**products, "person": {"image": {"source": {"url": ANN_URL}}}})
    assert shop.outcome(started)["status"] == "COMPLETED"


@pytest.mark.parametrize("extra", EXTRAS)
def test_the_other_fields_may_come_in_every_shape(shop: Shop, extra: dict[str, object]) -> None:
    assert shop.outcome(shop.try_on(request(**extra)))["status"] == "COMPLETED"
    has_days = "3" in json.dumps(extra)
    assert sum(name.startswith("ttl-3d/" if has_days else "ttl-7d/") for name in shop.stored()) == 2
    if "ann" in extra.values():
        shop.delete("/customers/ann")
        assert [name[:7] for name in shop.stored()] == ["ttl-30d"]


def test_a_form_may_have_every_shape_too(shop: Shop) -> None:
    body = {"product": {"images": [{"fileKey": "a"}, {"source": {"fileKey": "b"}}]}, "customer": {"fileKey": "c"}}
    assert shop.outcome(shop.try_on_form(body, a=SHIRT, b=SHIRT, c=ANN))["status"] == "COMPLETED"


# Products


def test_a_named_product_is_found_again_for_15_days_from_its_last_use(shop: Shop) -> None:
    alone = {"products": [{"externalId": "shirt-1"}], "person": {"image": {"source": {"url": ANN_URL}}}}
    shop.try_on(request())
    shop.work_off()
    for _ in range(6):  # far beyond the life of any one object
        for _ in range(14):
            shop.clock.advance(days=1)
            shop.run(shop.container.purge_overdue().execute())
        shop.clock.advance(hours=23)
        assert shop.outcome(shop.try_on(alone))["status"] == "COMPLETED"
    shop.clock.advance(days=15)
    refused(shop.try_on(alone), "PRODUCT_NOT_FOUND")
    assert shop.fetcher.fetched.count(SHIRT_URL) == 1
    assert shop.processor.prepared.count(False) == 1


def test_a_product_without_a_name_gets_one_and_lives_for_7_days(shop: Shop) -> None:
    product_id = shop.try_on({"products": [{"imageUrls": [SHIRT_URL]}], "person": {"url": ANN_URL}}).json()[
        "productExternalId"
    ]
    alone = {"products": [{"externalId": product_id}], "person": {"image": {"source": {"url": ANN_URL}}}}
    shop.clock.advance(days=6, hours=23)
    assert shop.try_on(alone).status_code == 202
    shop.clock.advance(hours=1)
    refused(shop.try_on(alone), "PRODUCT_NOT_FOUND")


def test_a_product_image_by_id_outlives_the_upload_it_was_made_from(shop: Shop) -> None:
    shirt_id = shop.upload(SHIRT, crop="false", keepForDays="1").json()["imageId"]
    product = {"externalId": "shirt-2", "images": [{"source": {"id": shirt_id}}]}
    shop.outcome(shop.try_on({"products": [product], "person": {"image": {"source": {"url": ANN_URL}}}}))
    shop.clock.advance(days=14)
    shop.run(shop.container.purge_overdue().execute())
    alone = {"products": [{"externalId": "shirt-2"}], "person": {"image": {"source": {"url": ANN_URL}}}}
    assert shop.outcome(shop.try_on(alone))["status"] == "COMPLETED"
    assert shop.processor.prepared.count(False) == 1


def test_a_customers_photo_does_not_become_a_product_for_longer_than_promised(shop: Shop) -> None:
    worn_id = shop.upload(SHIRT, externalUserId="ann").json()["imageId"]
    product = {"externalId": "worn", "images": [{"source": {"id": worn_id}}]}
    shop.try_on({"products": [product], "person": {"image": {"source": {"url": ANN_URL}}}})
    shop.delete("/customers/ann")
    alone = {"products": [{"externalId": "worn"}], "person": {"image": {"source": {"url": ANN_URL}}}}
    refused(shop.try_on(alone), "PRODUCT_NOT_FOUND")


def test_new_images_replace_those_of_a_product_with_the_same_id(shop: Shop) -> None:
    shop.fetcher.web["https://shop.test/red.jpg"] = a_jpeg(200, 500)
    shop.outcome(shop.try_on(request()))
    product = {"externalId": "shirt-1", "imageUrls": ["https://shop.test/red.jpg"]}
    shop.outcome(shop.try_on({"products": [product], "person": {"url": ANN_URL}}))
    shop.outcome(shop.try_on({"products": [{"externalId": "shirt-1"}], "person": {"url": ANN_URL}}))
    first, second, third = shop.engine.garments
    assert first != second == third


def test_a_url_without_a_scheme_is_taken_as_https(shop: Shop) -> None:
    product = {"imageUrls": [SHIRT_URL.removeprefix("https:")]}
    assert shop.outcome(shop.try_on({"products": [product], "person": {"url": ANN_URL}}))["status"] == "COMPLETED"
    assert SHIRT_URL in shop.fetcher.fetched


def test_an_engine_that_refuses_one_picture_of_a_garment_gets_the_next(shop: Shop) -> None:
    shop.fetcher.web["https://shop.test/flat.jpg"] = a_jpeg(200, 500)
    shop.engine.interruptions = [fail_with(EngineRefused())]
    product = {"imageUrls": [SHIRT_URL, "https://shop.test/flat.jpg"]}
    assert shop.outcome(shop.try_on({"products": [product], "person": {"url": ANN_URL}}))["status"] == "COMPLETED"
    assert len(set(shop.engine.garments)) == 2


def test_a_product_called_mock_is_answered_with_the_persons_picture_and_asks_no_engine(shop: Shop) -> None:
    product = {"externalId": "free", "title": "mock", "imageUrls": [SHIRT_URL]}
    done = shop.outcome(shop.try_on({"products": [product], "person": {"url": ANN_URL}}))
    assert done["status"] == "COMPLETED"
    assert shop.engine.garments == []
    pictures = [shop.run(shop.objects.get(name)) for name in shop.stored()]
    assert sorted(pictures.count(picture) for picture in pictures) == [1, 2, 2]  # garment, person, result
    again = shop.outcome(shop.try_on({"products": [{"externalId": "free"}], "person": {"url": ANN_URL}}))
    assert again["status"] == "COMPLETED"
    assert shop.engine.garments == []  # also when it comes alone, by its id
