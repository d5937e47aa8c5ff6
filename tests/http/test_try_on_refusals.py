"""Refused try-ons: every fault is named by its path, and nothing of the request is kept."""

import pytest

from tests.http.conftest import API
from tests.http.shop import ANN, ANN_URL, SHIRT, SHIRT_URL, Shop, paths, request, shop
from tests.http.test_refusals import refused

__all__ = ["shop"]


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
