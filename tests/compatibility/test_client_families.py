"""Requests of the clients of the mirrored API, replayed with only the base URL changed, and every field that they read.

The first line of each test is a row of the table that `make compatibility` prints: client, what it does.
"""

import io
import json
import time
from typing import Any

import pytest
import requests
from PIL import Image

from tests.live_shop import CLIENTS, SHIRT_URL, LiveShop, node
from tests.patience import PATIENCE_SECONDS

pytestmark = pytest.mark.xdist_group("clients")


class Client:
    """`requests`, as a shop's backend uses it."""

    def __init__(self, shop: LiveShop, key: str | None = None) -> None:
        self.url = f"{shop.url}/tryon/v1"
        self.headers = {"x-api-key": key or shop.key}
        self.photo = shop.photo.read_bytes()

    def get(self, path: str) -> requests.Response:
        return requests.get(self.url + path, headers=self.headers, timeout=PATIENCE_SECONDS)

    def post(self, path: str, body: Any = None, **more: Any) -> requests.Response:
        headers = self.headers | more.pop("headers", {})
        return requests.post(self.url + path, json=body, headers=headers, timeout=PATIENCE_SECONDS, **more)

    def upload(self, **fields: str) -> dict[str, Any]:
        answer = self.post("/images/upload", files={"file": ("me.jpg", self.photo, "image/jpeg")}, data=fields)
        assert answer.status_code == 201, answer.text
        return dict(answer.json())

    def polled(self, started: requests.Response) -> dict[str, Any]:
        assert started.status_code == 202, started.text
        body = started.json()
        assert body["status"] == "PENDING"
        while True:
            done = self.get(f"/generations/{body['generationId']}").json()
            if done["status"] in {"COMPLETED", "FAILED"}:
                return dict(done)
            time.sleep(0.1)  # clients wait two seconds


@pytest.fixture
def client(live_shop: LiveShop) -> Client:
    return Client(live_shop)


def expect_a_picture(done: dict[str, Any]) -> None:
    assert done["status"] == "COMPLETED", done
    assert requests.get(done["resultImageUrl"], timeout=PATIENCE_SECONDS).headers["content-type"] == "image/jpeg"


def shirt(external_id: str) -> dict[str, Any]:
    return {"externalId": external_id, "images": [{"source": {"url": SHIRT_URL}}]}


@pytest.mark.parametrize("family", ["fetch_formdata", "axios_form_data", "undici_stream"])
def test_node(live_shop: LiveShop, family: str) -> None:
    """Node.js: fetch, axios + form-data, undici | upload, try on by id, url, imageUrl, files; sync; polls; 413"""
    assert live_shop.run([node(), f"families/{family}.mjs"], CLIENTS) == "done\n"


def test_requests_with_and_without_crop(client: Client) -> None:
    """Python requests | upload with and without crop, look up, delete"""
    cut, whole = client.upload(), client.upload(crop="false", externalUserId="r", keepForDays="1")
    assert ("crop" in cut, "crop" in whole, whole["keepForDays"]) == (True, False, 1)
    assert client.get(f"/images/{cut['imageId']}").json()["imageId"] == cut["imageId"]
    gone = requests.delete(f"{client.url}/images/{cut['imageId']}", headers=client.headers, timeout=PATIENCE_SECONDS)
    assert gone.status_code == 204
    assert client.get(f"/images/{cut['imageId']}").json()["code"] == "IMAGE_NOT_FOUND"


def test_a_picture_with_transparency(client: Client) -> None:
    """Python requests | a PNG with transparency is flattened on white"""
    out = io.BytesIO()
    Image.new("RGBA", (400, 500), (0, 0, 0, 0)).save(out, "PNG")
    answer = client.post("/images/upload", files={"file": ("me.png", out.getvalue())}, data={"crop": "false"})
    shown = Image.open(io.BytesIO(requests.get(answer.json()["imageUrl"], timeout=PATIENCE_SECONDS).content))
    assert (shown.mode, shown.getpixel((9, 9))) == ("RGB", (255, 255, 255))


@pytest.mark.parametrize("kind", ["id", "url", "imageUrl"])
def test_the_person_in_every_way(client: Client, kind: str) -> None:
    """Python requests | the person by id, by URL, by our own imageUrl; product inline, polled"""
    image = client.upload()
    source = {"id": {"id": image["imageId"]}, "url": {"url": SHIRT_URL}, "imageUrl": {"url": image["imageUrl"]}}[kind]
    body = {"products": [shirt("inline")], "person": {"image": {"source": source}}}
    expect_a_picture(client.polled(client.post("/try-on", body)))


def test_the_product_is_registered_when_it_is_not_found(client: Client) -> None:
    """Official example | try on by externalId, register on PRODUCT_NOT_FOUND, try on again"""
    body = {"products": [{"externalId": "lazy"}], "person": {"image": {"source": {"id": client.upload()["imageId"]}}}}
    missing = client.post("/try-on", body)
    assert (missing.status_code, missing.json()["code"]) == (404, "PRODUCT_NOT_FOUND")
    registered = client.post("/products", shirt("lazy"))
    assert (registered.status_code, registered.json()["productId"]) == (201, "lazy")
    expect_a_picture(client.polled(client.post("/try-on", body)))
    unknown = client.post("/try-ons", body)
    assert (unknown.status_code, unknown.json()["code"]) == (404, "NOT_FOUND")


def test_the_catalogue(client: Client) -> None:
    """Catalogue sync | register by file, list, read, update, delete"""
    form = {"data": (None, json.dumps({"externalId": "cat", "title": "Coat", "images": [{"fileKey": "a"}]}))}
    assert client.post("/products", files={**form, "a": ("a.jpg", client.photo)}).status_code == 201
    assert client.post("/products", {"externalId": "cat", "description": "Warm"}).status_code == 200
    assert "cat" in [item["externalId"] for item in client.get("/products?limit=200").json()["items"]]
    assert client.get("/products/cat").json()["description"] == "Warm"
    assert (
        requests.delete(f"{client.url}/products/cat", headers=client.headers, timeout=PATIENCE_SECONDS).status_code
        == 204
    )


def test_multipart_with_data_and_parts(client: Client) -> None:
    """Backend | one-shot try-on, multipart with data and file parts"""
    data = {"products": [{"images": [{"source": {"fileKey": "g"}}]}], "person": {"image": {"source": {"fileKey": "p"}}}}
    files = {"data": (None, json.dumps(data)), "g": ("g.jpg", client.photo), "p": ("p.jpg", client.photo)}
    expect_a_picture(client.polled(client.post("/try-on", files=files)))


def test_sync(client: Client) -> None:
    """Backend | sync: the finished generation in one answer"""
    body = {"products": [shirt("sync")], "person": {"image": {"source": {"id": client.upload()["imageId"]}}}}
    answer = client.post("/try-on/sync", body)
    assert answer.status_code == 200
    expect_a_picture(answer.json())
    assert client.get("/generations?limit=1").json()["items"][0]["generationId"] == answer.json()["generationId"]


def test_the_first_shapes(client: Client) -> None:
    """First clients | productId, customerImageId, success: true"""
    client.post("/products", shirt("first"))
    started = client.post("/try-on", {"productId": "first", "customerImageId": client.upload()["imageId"]})
    assert started.json()["success"] is True
    expect_a_picture(client.polled(started))


def test_credits(client: Client, live_shop: LiveShop) -> None:
    """Storefront app | credits, 402"""
    assert client.get("/account/credits").json() == {"creditBalance": 1_000_000}
    poor = Client(live_shop, live_shop.poor_key)
    assert poor.get("/account/credits").json() == {"creditBalance": 0}
    refused = poor.post("/try-on", {"products": [shirt("poor")], "person": {"url": SHIRT_URL}})
    assert (refused.status_code, refused.json()["code"]) == (402, "INSUFFICIENT_CREDITS")


def test_retries(client: Client, live_shop: LiveShop) -> None:
    """Any | Idempotency-Key, 422; 429 with Retry-After"""
    body = {"products": [shirt("once")], "person": {"url": SHIRT_URL}}
    first, again = (client.post("/try-on", body, headers={"idempotency-key": "once"}) for _ in range(2))
    assert first.json()["generationId"] == again.json()["generationId"]
    other = client.post("/try-on", body | {"externalUserId": "x"}, headers={"idempotency-key": "once"})
    assert (other.status_code, other.json()["code"]) == (422, "IDEMPOTENCY_KEY_REUSED")
    hasty = Client(live_shop, live_shop.hasty_key)
    hasty.get("/account/credits")
    slowed = hasty.get("/account/credits")
    assert (slowed.status_code, slowed.json()["code"]) == (429, "RATE_LIMITED")
    assert int(slowed.headers["retry-after"]) > 0


RAW = {
    "React Native": (
        b'content-disposition: form-data; name="file"; filename="IMG_1.jpg"; filename*=utf-8\'\'IMG_1.jpg\r\n'
        b"content-type: image/jpeg\r\ncontent-length: %d\r\n\r\n"
    ),
    "Deno": (
        b'Content-Disposition: form-data; name="file"; filename="b"\r\nContent-Type: application/octet-stream\r\n\r\n'
    ),
    "Expo file system": (
        b"Content-Disposition: form-data; name=file; filename=photo\r\nContent-Type: image/heic\r\n\r\n"
    ),
}


@pytest.mark.parametrize("kind", RAW)
def test_raw_forms(client: Client, kind: str) -> None:
    """React Native, Deno, Expo | their multipart shapes, with a ticket in place of the key"""
    made = client.post("/upload-tickets", {"externalUserId": "app"}).json()
    head = RAW[kind].replace(b"%d", str(len(client.photo)).encode())
    answer = requests.post(
        made["uploadUrl"],
        data=b"--b0undary\r\n" + head + client.photo + b"\r\n--b0undary--\r\n",
        headers={"content-type": "multipart/form-data; boundary=b0undary", "authorization": f"Bearer {made['ticket']}"},
        timeout=PATIENCE_SECONDS,
    )
    assert answer.status_code == 201, answer.text
