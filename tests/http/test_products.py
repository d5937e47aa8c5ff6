"""Products: registered, tried on, kept once, and let go."""

from dataclasses import replace
from typing import Any

from domain.errors import ContentFiltered
from tests.http.conftest import API, a_jpeg
from tests.http.shop import ANN, ANN_URL, SHIRT_URL, Shop, fail_with, request, shop
from tests.http.test_refusals import refused

__all__ = ["shop"]
RED_URL = "https://shop.test/red.jpg"


def register(shop: Shop, **product: Any) -> Any:
    return shop.client.post(f"{API}/products", json=product, headers={"x-api-key": shop.key})


def shirt(**more: Any) -> dict[str, Any]:
    return {"externalId": "shirt-1", "images": [{"source": {"url": SHIRT_URL}}], **more}


def garments(shop: Shop) -> list[str]:
    return [name for name in shop.stored() if name.startswith("ttl-30d/")]


def purge(shop: Shop) -> None:
    shop.run(shop.container.purge_overdue().execute())


def test_a_registered_product_is_told_of_and_tried_on_without_a_fetch(shop: Shop) -> None:
    answer = register(shop, **shirt(title="Shirt", description="Blue"))
    assert answer.status_code == 201
    assert answer.json() == {
        "externalId": "shirt-1",
        "productId": "shirt-1",
        "title": "Shirt",
        "description": "Blue",
        "images": [{"sourceUrl": SHIRT_URL, "order": 0}],
        "createdAt": "2026-11-22T12:00:00Z",
        "updatedAt": "2026-11-22T12:00:00Z",
        "lastUsedAt": "2026-11-22T12:00:00Z",
    }
    alone = {"productId": "shirt-1", "customerImageId": shop.upload(ANN).json()["imageId"]}
    shop.clock.advance(seconds=5)
    assert shop.outcome(shop.try_on(alone))["status"] == "COMPLETED"
    assert shop.fetcher.fetched == [SHIRT_URL]
    assert shop.get("/products/shirt-1").json()["lastUsedAt"] == "2026-11-22T12:00:05Z"


def test_the_same_id_again_is_a_partial_update(shop: Shop) -> None:
    register(shop, **shirt(title="Shirt"))
    shop.clock.advance(seconds=5)
    changed = register(shop, externalId="shirt-1", description="Blue", validForDays=2)
    assert changed.status_code == 200
    body = changed.json()
    assert (body["title"], body["description"], len(body["images"])) == ("Shirt", "Blue", 1)
    assert (body["createdAt"], body["updatedAt"]) == ("2026-11-22T12:00:00Z", "2026-11-22T12:00:05Z")
    assert body["expiresAt"] == "2026-11-24T12:00:05Z"
    shop.clock.advance(days=2)
    refused(shop.get("/products/shirt-1"), "PRODUCT_NOT_FOUND")
    assert register(shop, **shirt()).status_code == 201


def test_six_try_ons_of_one_product_fetch_and_store_it_once(shop: Shop) -> None:
    person = {"id": shop.upload(ANN).json()["imageId"]}
    for _ in range(6):
        assert shop.try_on(request(person)).status_code == 202
    assert shop.fetcher.fetched == [SHIRT_URL]
    assert len(garments(shop)) == 1


def test_files_are_known_again_by_their_bytes(shop: Shop) -> None:
    body = {
        "products": [{"externalId": "a", "images": [{"source": {"fileKey": "f"}}]}],
        "person": {"image": {"source": {"url": ANN_URL}}},
    }
    for _ in range(2):
        assert shop.try_on_form(body, f=a_jpeg(300, 300)).status_code == 202
    assert shop.try_on_form(body, f=a_jpeg(300, 310)).status_code == 202
    purge(shop)
    assert len(garments(shop)) == 2
    shop.clock.advance(minutes=20)
    purge(shop)
    assert len(garments(shop)) == 1


def test_a_url_older_than_a_day_is_asked_whether_it_still_shows_the_same(shop: Shop) -> None:
    shop.fetcher.etags[SHIRT_URL] = '"v1"'
    person = {"id": shop.upload(ANN).json()["imageId"]}
    shop.try_on(request(person))
    shop.clock.advance(days=1)
    shop.try_on(request(person))
    shop.try_on(request(person))
    assert shop.fetcher.fetched == [SHIRT_URL] * 2
    assert len(garments(shop)) == 1
    shop.clock.advance(days=1)
    shop.fetcher.web[SHIRT_URL], shop.fetcher.etags[SHIRT_URL] = a_jpeg(310, 300), '"v2"'
    shop.try_on(request(person))
    assert len(garments(shop)) == 2  # the old one stays for the try-ons that wait
    shop.clock.advance(minutes=20)
    purge(shop)
    assert len(garments(shop)) == 1


def test_a_shop_that_does_not_answer_leaves_the_picture_as_it_was(shop: Shop) -> None:
    shop.outcome(shop.try_on(request()))
    shop.clock.advance(days=1)
    person = {"id": shop.upload(ANN).json()["imageId"]}
    del shop.fetcher.web[SHIRT_URL]
    assert shop.outcome(shop.try_on(request(person)))["status"] == "COMPLETED"


def test_a_replaced_picture_stays_for_a_try_on_that_waits_for_it(shop: Shop) -> None:
    shop.fetcher.web[RED_URL] = a_jpeg(200, 500)
    waiting = shop.try_on(request())
    register(shop, externalId="shirt-1", imageUrls=[RED_URL])
    shop.clock.advance(minutes=14)
    purge(shop)
    assert shop.outcome(waiting)["status"] == "COMPLETED"


def test_pictures_of_products_leave_room_for_those_of_people(shop: Shop) -> None:
    shop.run(shop.container.change_account().execute("default", lambda each: replace(each, max_live_images=1)))
    for number in range(3):
        assert register(shop, **shirt(externalId=f"shirt-{number}")).status_code == 201
    assert shop.upload(ANN).status_code == 201
    refused(shop.upload(ANN), "QUOTA_EXCEEDED")


def test_a_registered_product_outlives_its_pictures_by_copies(shop: Shop) -> None:
    register(shop, **shirt())
    for _ in range(70):
        shop.clock.advance(days=1)
        purge(shop)
    assert len(garments(shop)) == 1
    assert shop.try_on({"productId": "shirt-1", "person": {"url": ANN_URL}}).status_code == 202
    assert shop.fetcher.fetched.count(SHIRT_URL) == 1


def test_a_deleted_product_is_gone_and_its_pictures_follow(shop: Shop) -> None:
    register(shop, **shirt(externalId="gid://shopify/Product/1"))
    for _ in range(2):
        assert shop.delete("/products/gid%3A%2F%2Fshopify%2FProduct%2F1").status_code == 204
    refused(shop.get("/products/gid%3A%2F%2Fshopify%2FProduct%2F1"), "PRODUCT_NOT_FOUND")
    shop.clock.advance(minutes=20)
    purge(shop)
    assert shop.stored() == []


def test_products_of_other_accounts_cannot_be_seen(shop: Shop) -> None:
    register(shop, **shirt())
    stranger = shop.new_account("stranger")
    refused(shop.get("/products/shirt-1", stranger), "PRODUCT_NOT_FOUND")
    assert shop.get("/products", stranger).json() == {"items": [], "hasMore": False, "count": 0}
    shop.delete("/products/shirt-1", stranger)
    assert shop.get("/products/shirt-1").status_code == 200


def test_products_are_listed_page_by_page(shop: Shop) -> None:
    for name in ("c", "a", "b"):
        register(shop, **shirt(externalId=name))
    first = shop.get("/products?limit=2").json()
    assert ([item["externalId"] for item in first["items"]], first["count"], first["hasMore"]) == (["a", "b"], 2, True)
    rest = shop.get(f"/products?limit=2&cursor={first['nextCursor']}").json()
    assert ([item["externalId"] for item in rest["items"]], rest["hasMore"]) == (["c"], False)
    assert "nextCursor" not in rest
    for query in ("limit=0", "limit=201", "limit=x", "limit=1e2", "cursor=%25", "cursor=AA==", "limit="):
        assert refused(shop.get(f"/products?{query}"), "VALIDATION_FAILED")["details"][0]["path"] == query.split("=")[0]


def test_a_product_that_cannot_be_is_refused(shop: Shop) -> None:
    refused(register(shop, externalId="new"), "PRODUCT_IMAGES_REQUIRED")
    refused(register(shop, title="x"), "PRODUCT_IMAGES_REQUIRED")
    for nothing in ("", "..", "/", "undefined", "gid://shopify/Product/"):
        refused(register(shop, **shirt(externalId=nothing)), "VALIDATION_FAILED")
    refused(register(shop, **shirt(validForDays=0)), "VALIDATION_FAILED")
    refused(register(shop, externalId="a", imageUrls=["https://shop.test/gone.jpg"]), "PRODUCT_IMAGE_FETCH_FAILED")
    shop.fetcher.web["https://shop.test/text"] = b"no picture"
    two = [SHIRT_URL, "https://shop.test/text"]
    body = refused(register(shop, externalId="a", imageUrls=two), "UNSUPPORTED_IMAGE_FORMAT")
    assert body["details"][0]["path"] == "imageUrls.1"
    assert shop.stored() == []


def test_the_one_of_two_garments_that_is_no_picture_is_named(shop: Shop) -> None:
    images = [{"source": {"fileKey": "front"}}, {"source": {"fileKey": "back"}}]
    body = {"products": [{"images": images}], "person": {"image": {"source": {"fileKey": "selfie"}}}}
    files = {"front": a_jpeg(), "back": a_jpeg(), "selfie": a_jpeg()}
    paths = {
        "front": "products.0.images.0.source.fileKey",
        "back": "products.0.images.1.source.fileKey",
        "selfie": "person.image.source.fileKey",
    }
    for part, path in paths.items():
        answer = refused(shop.try_on_form(body, **(files | {part: b"text"})), "UNSUPPORTED_IMAGE_FORMAT")
        assert [problem["path"] for problem in answer["details"]] == [path]
        assert answer["requestId"]
    assert shop.stored() == []


def test_a_product_in_a_form_with_files(shop: Shop) -> None:
    form = [
        ("data", (None, b'{"externalId": "a", "images": [{"fileKey": "f"}]}')),
        ("f", ("a.jpg", a_jpeg(300, 300))),
    ]
    answer = shop.client.post(f"{API}/products", files=form, headers={"x-api-key": shop.key})
    assert answer.status_code == 201
    assert answer.json()["images"] == [{"order": 0}]


# Credits


def set_credits(shop: Shop, number: int | None) -> None:
    shop.run(shop.container.set_credits().execute("default", number))


def balance(shop: Shop) -> int:
    return int(shop.get("/account/credits").json()["creditBalance"])


def test_an_account_without_a_limit_is_told_a_million(shop: Shop) -> None:
    assert shop.get("/account/credits").json() == {"creditBalance": 1_000_000}


def test_starting_takes_a_credit_and_failing_gives_it_back(shop: Shop) -> None:
    set_credits(shop, 2)
    shop.engine.interruptions = [fail_with(ContentFiltered())]
    failing = shop.try_on(request())
    assert balance(shop) == 1
    assert shop.outcome(failing)["status"] == "FAILED"
    assert balance(shop) == 2
    for _ in range(2):
        assert shop.outcome(shop.try_on(request()))["status"] == "COMPLETED"
    assert balance(shop) == 0
    stored = shop.stored()
    refused(shop.try_on(request({"url": ANN_URL}, products=[{"imageUrls": [SHIRT_URL]}])), "INSUFFICIENT_CREDITS")
    assert shop.stored() == stored
    set_credits(shop, None)
    assert shop.try_on(request()).status_code == 202


def test_a_refused_request_takes_no_credit(shop: Shop) -> None:
    set_credits(shop, 1)
    refused(shop.try_on(request({"url": "https://shop.test/gone.jpg"})), "CUSTOMER_IMAGE_FETCH_FAILED")
    assert balance(shop) == 1


# Idempotency keys


def once(shop: Shop, body: dict[str, Any], path: str = "/try-on", key: str = "k") -> Any:
    headers = {"x-api-key": shop.key, "idempotency-key": key}
    return shop.client.post(API + path, json=body, headers=headers)


def test_a_try_on_that_is_retried_is_started_and_charged_once(shop: Shop) -> None:
    set_credits(shop, 5)
    first = once(shop, request(externalUserId="ann"))
    shop.work_off()
    again = once(shop, request(externalUserId="ann"))
    assert (first.status_code, again.json()) == (202, first.json())
    assert balance(shop) == 4
    refused(once(shop, request(externalUserId="bob")), "IDEMPOTENCY_KEY_REUSED")
    shop.clock.advance(hours=24)
    assert once(shop, request(externalUserId="ann")).json()["generationId"] != first.json()["generationId"]


def test_a_try_on_that_was_refused_may_come_again_with_its_key(shop: Shop) -> None:
    body = request({"url": RED_URL})
    refused(once(shop, body), "CUSTOMER_IMAGE_FETCH_FAILED")
    shop.fetcher.web[RED_URL] = ANN
    assert once(shop, body).status_code == 202


def test_a_key_is_good_for_one_request_of_an_account_whatever_its_kind(shop: Shop) -> None:
    uploads = {"x-api-key": shop.key, "idempotency-key": "upload"}
    files = {"file": ("a.jpg", ANN)}
    assert shop.client.post(f"{API}/images/upload", files=files, headers=uploads).status_code == 201
    for path, body in (("/try-on", request()), ("/products", shirt()), ("/upload-tickets", {})):
        refused(once(shop, body, path, key="upload"), "IDEMPOTENCY_KEY_REUSED")
        assert once(shop, body, path, key=path).status_code < 300
        uploads["idempotency-key"] = path
        refused(shop.client.post(f"{API}/images/upload", files=files, headers=uploads), "IDEMPOTENCY_KEY_REUSED")
    shop.clock.advance(hours=24)
    assert shop.client.post(f"{API}/images/upload", files=files, headers=uploads).status_code == 201
    assert once(shop, request(), key="upload").status_code == 202


def test_an_erasure_forgets_the_key(shop: Shop) -> None:
    first = once(shop, request(externalUserId="ann")).json()
    shop.delete("/customers/ann")
    assert once(shop, request(externalUserId="ann")).json()["generationId"] != first["generationId"]


def test_a_registration_that_is_retried_is_done_once(shop: Shop) -> None:
    assert once(shop, shirt(), "/products").status_code == 201
    shop.clock.advance(seconds=5)
    again = once(shop, shirt(), "/products")
    assert (again.status_code, again.json()["updatedAt"]) == (200, "2026-11-22T12:00:00Z")
    refused(once(shop, shirt(title="x"), "/products"), "IDEMPOTENCY_KEY_REUSED")
    for key in ("", "x" * 256):
        assert "Idempotency-Key" in str(refused(once(shop, shirt(), "/products", key), "VALIDATION_FAILED")["details"])


def test_a_persons_image_belongs_to_the_first_customer_it_was_tried_on_with(shop: Shop) -> None:
    image_id = shop.upload(ANN).json()["imageId"]
    assert shop.try_on(request({"id": image_id})).status_code == 202
    assert shop.try_on(request({"id": image_id}, externalUserId="ann")).status_code == 202
    assert shop.try_on(request({"id": image_id}, externalUserId="ann")).status_code == 202
    refused(shop.try_on(request({"id": image_id}, externalUserId="bob")), "VALIDATION_FAILED")
    assert shop.delete("/customers/ann").headers["x-images-erased"] == "1"
    refused(shop.get(f"/images/{image_id}"), "IMAGE_NOT_FOUND")


# Lists of generations


def test_generations_are_listed_newest_first(shop: Shop) -> None:
    ids = []
    for _ in range(3):
        ids.append(shop.try_on(request()).json()["generationId"])
        shop.clock.advance(seconds=1)
    first = shop.get("/generations?limit=2").json()
    assert [item["generationId"] for item in first["items"]] == ids[:0:-1]
    rest = shop.get(f"/generations?limit=2&cursor={first['nextCursor']}").json()
    assert ([item["generationId"] for item in rest["items"]], rest["hasMore"]) == (ids[:1], False)
    for query in ("limit=0", "limit=101", "cursor=gen_unknown"):
        refused(shop.get(f"/generations?{query}"), "VALIDATION_FAILED")


def test_an_empty_cursor_counts_as_not_sent(shop: Shop) -> None:
    shop.try_on(request())
    for listing in ("/products", "/generations"):
        first, again = shop.get(listing), shop.get(f"{listing}?cursor=")
        assert len(first.json()["items"]) == 1
        assert (again.status_code, again.json()) == (200, first.json())
