"""Trying on, as a client sees it: start, work off the queue, poll, look."""

import asyncio
import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
from litestar.testing import TestClient

from adapters.memory.surroundings import (
    InMemoryObjectStore,
    InMemoryPhotoFetcher,
    InMemoryTryOnEngine,
    InProcessPhotoProcessor,
)
from adapters.memory.unit_of_work import InMemoryUnitOfWork
from application.authenticate import DEFAULT_ACCOUNT
from application.ports.photos import PreparedPhoto
from domain.cropping import Fit
from domain.errors import ContentFiltered, DomainError, EngineRefused, EngineUnavailable
from domain.generation import LeaseId
from entrypoints.http.app import create_app
from entrypoints.wiring.container import Container
from entrypoints.wiring.settings import Settings
from tests.builders import MovableClock
from tests.http.conftest import API, Service, a_jpeg, account_with_key, an_in_process_processor
from tests.http.test_refusals import refused

SHIRT_URL = "https://shop.test/shirt.jpg"
ANN_URL = "https://shop.test/ann.jpg"
SHIRT = a_jpeg(300, 300)
ANN = a_jpeg(800, 1000)


class CountingProcessor:
    """The real one, counted."""

    def __init__(self, processor: InProcessPhotoProcessor) -> None:
        self._processor = processor
        self.prepared: list[bool] = []

    async def start(self) -> None:
        await self._processor.start()

    async def close(self) -> None:
        await self._processor.close()

    async def check(self) -> None:
        await self._processor.check()

    async def prepare(self, photo: bytes | bytearray | memoryview, *, crop: bool, fit: Fit = Fit.CROP) -> PreparedPhoto:
        self.prepared.append(crop)
        return await self._processor.prepare(photo, crop=crop)


@dataclass
class Shop(Service):
    """A service, a small web around it, and an engine."""

    processor: CountingProcessor
    fetcher: InMemoryPhotoFetcher
    engine: InMemoryTryOnEngine

    def try_on(self, body: object, key: str | None = None) -> Any:
        return self.client.post(f"{API}/try-on", json=body, headers={"x-api-key": key or self.key})

    def try_on_form(self, body: object, **files: bytes) -> Any:
        data = ("data", (None, json.dumps(body).encode()))
        form = [data, *((name, ("a.jpg", file)) for name, file in files.items())]
        return self.client.post(f"{API}/try-on", files=form, headers={"x-api-key": self.key})

    def work_off(self) -> Any:
        """One generation's turn."""
        return self.run(self.container.run_next_generation().execute())

    def outcome(self, started: Any) -> dict[str, Any]:
        assert started.status_code == 202, started.text
        self.work_off()
        return self.generation(started)

    def generation(self, started: Any) -> dict[str, Any]:
        answer = self.get(f"/generations/{started.json()['generationId']}")
        assert answer.status_code == 200
        return dict(answer.json())

    def stored(self) -> list[str]:
        async def names() -> list[str]:
            return [name async for name in self.objects.names()]

        return list(self.run(names()))


@pytest.fixture
def shop(settings: Settings) -> Iterator[Shop]:
    clock, objects, work = MovableClock(), InMemoryObjectStore(), InMemoryUnitOfWork()
    processor = CountingProcessor(an_in_process_processor())
    fetcher, engine = InMemoryPhotoFetcher({SHIRT_URL: SHIRT, ANN_URL: ANN}), InMemoryTryOnEngine()
    container = Container(
        settings=settings,
        clock=clock,
        objects=objects,
        work=work,
        processor=processor,
        fetcher=fetcher,
        try_on_engine=engine,
    )
    key = asyncio.run(account_with_key(container, DEFAULT_ACCOUNT))
    with TestClient(create_app(container), base_url="http://photos.test") as client:
        yield Shop(client, container, clock, objects, work, key, processor, fetcher, engine)


def request(person: object = None, **more: object) -> dict[str, object]:
    return {
        "products": [{"externalId": "shirt-1", "images": [{"source": {"url": SHIRT_URL}}]}],
        "person": {"image": {"source": person or {"url": ANN_URL}}},
        **more,
    }


def paths(body: dict[str, Any]) -> list[str]:
    return [problem["path"] for problem in body["details"]]


def fail_with(error: DomainError) -> Any:
    async def fail() -> None:
        raise error

    return fail


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


# Refusals


def test_every_malformed_field_is_named_by_its_path(shop: Shop) -> None:
    answer = shop.try_on(
        {
            "products": [
                {
                    "externalId": "",
                    "title": 7,
                    "images": [{"source": {"url": "ftp://x/y"}}, {"source": {"url": SHIRT_URL, "id": "img_1"}}, "x"],
                    "imageUrls": [3],
                }
            ],
            "person": {"image": {"source": {"id": ["img_1"]}}},
            "externalUserId": "x" * 257,
            "output": {"keepForDays": 2, "watermark": "yes"},
        }
    )
    assert sorted(paths(refused(answer, "VALIDATION_FAILED"))) == [
        "externalUserId",
        "output.keepForDays",
        "output.watermark",
        "person.image.source.id",
        "products.0.externalId",
        "products.0.imageUrls.0",
        "products.0.images.0.source.url",
        "products.0.images.1.source",
        "products.0.images.2",
        "products.0.title",
    ]


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"products": []}, "products"),
        ({"products": [{"externalId": "a"}, {"externalId": "b"}]}, "products"),
        ({"products": "shirt"}, "products"),
        ({"products": ["shirt"]}, "products.0"),
        ({"product": {"externalId": "b"}}, "product"),
        ({"products": [{"images": "shirt"}]}, "products.0.images"),
        ({"products": [{"imageUrls": [SHIRT_URL] * 9}]}, "products.0.images"),
        ({"products": None, "product": {"images": [{"url": "/shirt.jpg"}]}}, "product.images.0.url"),
        ({"person": "ann"}, "person"),
        ({"person": {"image": ["ann"]}}, "person.image"),
        ({"person": {"image": {"source": "ann"}}}, "person.image.source"),
        ({"person": {"image": {"source": {}}}}, "person.image.source"),
        ({"customer": {"url": ANN_URL}}, "customer"),
        ({"person": {"image": {"url": "https://[::1/x"}}}, "person.image.url"),
        ({"person": {"image": {"url": "https://shop.test/a b"}}}, "person.image.url"),
        ({"person": {"image": {"url": "https://shop.test/" + "a" * 2048}}}, "person.image.url"),
        ({"externalUserId": "a\0b"}, "externalUserId"),
        ({"externalUserId": "ann", "customerId": "bob"}, "customerId"),
        ({"keepForDays": True}, "keepForDays"),
        ({"keepForDays": 7.0}, "keepForDays"),
        ({"keepForDays": "7"}, "keepForDays"),
        ({"retentionDays": 7, "output": {"keepForDays": 3}}, "retentionDays"),
        ({"useWatermark": "no"}, "useWatermark"),
    ],
)
def test_a_malformed_field(shop: Shop, change: dict[str, object], path: str) -> None:
    body = refused(shop.try_on({**request(), **change}), "VALIDATION_FAILED")
    assert path in paths(body)
    assert shop.stored() == []


@pytest.mark.parametrize(
    "body", [b"", b"{", b"\xff\xfe", b'{"person": "\\ud800"}', b"[" * 100_000, b"null", b"[]", b'"x"', b'{"a": NaN}']
)
def test_a_body_that_is_no_json_object(shop: Shop, body: bytes) -> None:
    headers = {"x-api-key": shop.key, "content-type": "application/json"}
    answer = shop.client.post(f"{API}/try-on", content=body, headers=headers)
    assert paths(refused(answer, "VALIDATION_FAILED")) == ["body"]
    form = {"data": (None, body)}
    answer = shop.client.post(f"{API}/try-on", files=form, headers={"x-api-key": shop.key})
    assert paths(refused(answer, "VALIDATION_FAILED")) == ["body"]


def test_more_json_than_any_request_needs(shop: Shop) -> None:
    refused(shop.try_on(request(padding="x" * 300_000)), "VALIDATION_FAILED")
    refused(shop.try_on_form(request(padding="x" * 300_000)), "VALIDATION_FAILED")


def test_a_form_without_data_or_that_is_broken(shop: Shop) -> None:
    headers = {"x-api-key": shop.key}
    refused(shop.client.post(f"{API}/try-on", files={"a": ("a.jpg", SHIRT)}, headers=headers), "VALIDATION_FAILED")
    headers["content-type"] = "multipart/form-data; boundary=b"
    refused(shop.client.post(f"{API}/try-on", content=b"nonsense", headers=headers), "VALIDATION_FAILED")


@pytest.mark.parametrize("person", [{}, {"person": None}, {"person": {}}, {"person": {"image": {}}}, {"customer": {}}])
def test_no_person(shop: Shop, person: dict[str, object]) -> None:
    refused(shop.try_on({"products": [{"imageUrls": [SHIRT_URL]}], **person}), "CUSTOMER_IMAGE_REQUIRED")


@pytest.mark.parametrize(
    "product", [{}, {"products": [{}]}, {"product": {"images": []}}, {"products": [{"title": "x"}]}]
)
def test_no_product_images(shop: Shop, product: dict[str, object]) -> None:
    refused(shop.try_on({"person": {"url": ANN_URL}, **product}), "PRODUCT_IMAGES_REQUIRED")


def test_a_file_key_that_names_no_part(shop: Shop) -> None:
    body = request({"fileKey": "selfie"})
    for answer, came in ((shop.try_on(body), "No file came"), (shop.try_on_form(body, other=ANN), "were: other.")):
        message = refused(answer, "MULTIPART_FILE_NOT_FOUND")["message"]
        assert "person.image.source.fileKey" in message
        assert came in message
    assert shop.stored() == []


def test_a_url_that_leads_nowhere(shop: Shop) -> None:
    gone = "https://shop.test/gone.jpg"
    body = refused(shop.try_on(request({"url": gone})), "CUSTOMER_IMAGE_FETCH_FAILED")
    assert "person.image.source.url" in body["message"]
    assert gone not in body["message"]
    product = {"images": [{"url": SHIRT_URL}, {"url": gone}]}
    body = refused(shop.try_on({"products": [product], "person": {"url": ANN_URL}}), "PRODUCT_IMAGE_FETCH_FAILED")
    assert "products.0.images.1.url" in body["message"]


def test_what_a_refused_request_brought_is_not_kept(shop: Shop) -> None:
    shop.fetcher.web["https://shop.test/text"] = b"no picture"
    refused(shop.try_on(request({"url": "https://shop.test/text"})), "UNSUPPORTED_IMAGE_FORMAT")
    assert shop.stored() == []
    refused(shop.try_on({"products": [{"externalId": "shirt-1"}], "person": {"url": ANN_URL}}), "PRODUCT_NOT_FOUND")


def test_a_file_that_is_too_large(shop: Shop) -> None:
    body = {"products": [{"imageUrls": [SHIRT_URL]}], "person": {"fileKey": "selfie"}}
    refused(shop.try_on_form(body, selfie=bytes(10 * 1024 * 1024 + 1)), "FILE_TOO_LARGE")
    refused(shop.try_on_form(body, **{f"f{n}": bytes(9 * 1024 * 1024) for n in range(4)}), "FILE_TOO_LARGE")


def test_someone_elses_image_product_and_generation_are_not_found(shop: Shop) -> None:
    image_id = shop.upload(ANN).json()["imageId"]
    started = shop.try_on(request({"id": image_id}))
    stranger = shop.new_account("stranger")
    body = refused(shop.try_on(request({"id": image_id}), key=stranger), "IMAGE_NOT_FOUND")
    assert [detail["path"] for detail in body["details"]] == ["person.image.source.id"]
    alone = {"products": [{"externalId": "shirt-1"}], "person": {"url": ANN_URL}}
    refused(shop.try_on(alone, key=stranger), "PRODUCT_NOT_FOUND")
    refused(shop.get(f"/generations/{started.json()['generationId']}", key=stranger), "GENERATION_NOT_FOUND")
    refused(shop.get("/generations/gen_unknown"), "GENERATION_NOT_FOUND")


def test_one_customers_photo_under_another_customers_name(shop: Shop) -> None:
    image_id = shop.upload(ANN, externalUserId="ann").json()["imageId"]
    body = refused(shop.try_on(request({"id": image_id}, externalUserId="bob")), "VALIDATION_FAILED")
    assert paths(body) == ["externalUserId"]
    assert shop.try_on(request({"id": image_id}, externalUserId="ann")).status_code == 202


# How generations end


def test_a_refusal_of_the_engine_is_final_and_told(shop: Shop) -> None:
    shop.engine.interruptions = [fail_with(ContentFiltered())]
    done = shop.outcome(shop.try_on(request()))
    assert (done["status"], done["errorCode"]) == ("FAILED", "CONTENT_FILTERED")
    assert done["errorMessage"]
    assert "resultImageUrl" not in done
    assert shop.work_off() is None


def test_an_engine_that_is_down_is_tried_again_with_longer_and_longer_pauses(shop: Shop) -> None:
    shop.engine.interruptions = [fail_with(EngineUnavailable())] * 2
    started = shop.try_on(request())
    assert shop.outcome(started)["status"] == "PENDING"
    assert shop.work_off() is None
    shop.clock.advance(seconds=4)
    assert shop.work_off().status == "PENDING"
    shop.clock.advance(seconds=7)
    assert shop.work_off() is None
    shop.clock.advance(seconds=1)
    assert shop.work_off().status == "COMPLETED"
    assert shop.generation(started)["status"] == "COMPLETED"


def test_an_engine_that_stays_down_ends_the_generation(shop: Shop) -> None:
    shop.engine.interruptions = [fail_with(EngineUnavailable())] * 9
    started = shop.try_on(request())
    for _ in range(9):
        shop.work_off()
        shop.clock.advance(minutes=1)
    assert shop.generation(started)["errorCode"] == "ENGINE_UNAVAILABLE"
    assert len(shop.engine.interruptions) == 4


def test_a_generation_that_waited_too_long_fails_instead_of_delaying_others(shop: Shop) -> None:
    started = shop.try_on(request())
    shop.clock.advance(minutes=15)
    assert shop.outcome(started)["errorCode"] == "ENGINE_UNAVAILABLE"
    assert shop.engine.garments == []


def test_a_person_who_is_deleted_or_expires_while_the_generation_waits_ends_it(shop: Shop) -> None:
    image_id = shop.upload(ANN).json()["imageId"]
    started = shop.try_on(request({"id": image_id}))
    shop.delete(f"/images/{image_id}")
    assert shop.outcome(started)["errorCode"] == "IMAGE_NOT_FOUND"
    image_id = shop.upload(ANN, keepForDays="1").json()["imageId"]
    shop.clock.advance(hours=23, minutes=59, seconds=50)
    started = shop.try_on(request({"id": image_id}))
    shop.clock.advance(seconds=10)
    assert shop.outcome(started)["errorCode"] == "IMAGE_NOT_FOUND"
    assert shop.engine.garments == []


def test_a_person_who_is_deleted_or_expires_while_the_generation_runs_ends_it_and_no_result_is_kept(shop: Shop) -> None:
    async def a_day_passes() -> None:
        shop.clock.advance(days=1)

    async def someone_deletes() -> None:
        await shop.container.delete_image().execute(image_id, account_id)

    image_id = shop.upload(ANN, keepForDays="1").json()["imageId"]
    account_id = shop.run(shop.container.list_accounts().accounts())[0].account_id
    for interruption in (someone_deletes, a_day_passes):
        image_id = shop.upload(ANN, keepForDays="1").json()["imageId"]
        started = shop.try_on(request({"id": image_id}))
        before = set(shop.stored())
        shop.engine.interruptions = [interruption]
        assert shop.outcome(started)["errorCode"] == "IMAGE_NOT_FOUND"
        assert set(shop.stored()) <= before


def test_erasing_a_customer_in_the_middle_of_a_generation_leaves_nothing(shop: Shop) -> None:
    def erase() -> Any:
        async def erasing() -> None:
            account_id = (await shop.container.list_accounts().accounts())[0].account_id
            await shop.container.erase_customer().execute(shop.container.pseudonyms().customer(account_id, "ann"))

        return erasing()

    shop.engine.interruptions = [erase]
    started = shop.try_on(request(externalUserId="ann"))
    done = shop.outcome(started)
    assert (done["status"], done["errorCode"]) == ("FAILED", "IMAGE_NOT_FOUND")
    assert [name[:7] for name in shop.stored()] == ["ttl-30d"]
    assert shop.engine.garments


def test_erasing_a_customer_takes_what_waits_and_what_is_done(shop: Shop) -> None:
    image_id = shop.upload(ANN).json()["imageId"]  # that it is ann's is said at the try-on only
    done = shop.try_on(request({"id": image_id}, externalUserId="ann"))
    url = shop.outcome(done)["resultImageUrl"]
    waiting = shop.try_on(request({"id": image_id}, externalUserId="ann"))
    assert shop.delete("/customers/ann").status_code == 204
    assert shop.client.get(url).status_code == 404
    assert shop.generation(waiting)["errorCode"] == "IMAGE_NOT_FOUND"
    assert shop.work_off() is None
    finished = shop.generation(done)
    assert (finished["status"], finished["errorCode"]) == ("FAILED", "RESULT_GONE")
    assert "resultImageUrl" not in finished


def test_the_link_to_a_result_never_outlives_it(shop: Shop) -> None:
    started = shop.try_on(request(output={"keepForDays": 1}))
    shop.outcome(started)
    shop.clock.advance(hours=12)
    done = shop.generation(started)
    assert done["resultImageUrlExpiresAt"] == "2026-11-23T12:00:00Z"
    shop.clock.advance(hours=12)
    assert "resultImageUrl" not in shop.generation(started)
    assert shop.client.get(done["resultImageUrl"]).status_code == 404


async def a_worker_claims_and_dies(shop: Shop) -> None:
    now = shop.clock.now()
    async with shop.work.begin() as repositories:
        await repositories.generations.claim(LeaseId("lea_dead"), "in-memory", now, now + timedelta(minutes=3))


def test_a_worker_that_died_is_replaced_when_its_lease_ends(shop: Shop) -> None:
    started = shop.try_on(request())
    shop.run(a_worker_claims_and_dies(shop))
    assert shop.generation(started)["status"] == "PROCESSING"
    shop.clock.advance(minutes=2)
    assert shop.work_off() is None
    shop.clock.advance(minutes=1)
    assert shop.work_off().status == "COMPLETED"


def test_rows_of_generations_are_forgotten_after_a_month(shop: Shop) -> None:
    started = shop.try_on(request())
    shop.outcome(started)
    shop.clock.advance(days=29)
    shop.run(shop.container.purge_overdue().execute())
    assert shop.generation(started)["errorCode"] == "RESULT_GONE"
    shop.clock.advance(days=1)
    shop.run(shop.container.purge_overdue().execute())
    refused(shop.get(f"/generations/{started.json()['generationId']}"), "GENERATION_NOT_FOUND")
