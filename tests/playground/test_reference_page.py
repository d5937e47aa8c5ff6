"""The page of the API reference in a real browser."""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from playwright.sync_api import FilePayload, Page, expect

from tests.playground.conftest import Playground, the_photo

PHOTO = FilePayload(name="photo.jpg", mimeType="image/jpeg", buffer=the_photo())


def show(page: Page, method: str, path: str) -> None:
    page.goto(f"/docs#{method}-{re.sub('[{}]', '-', path)}")
    expect(page.get_by_text(path, exact=True).first).to_be_visible()


def executed(page: Page) -> str:
    """Press Execute. Returns: what the page says of the answer."""
    page.get_by_role("button", name="TRY", exact=True).click()
    told = page.get_by_text("Response Status")
    expect(told).to_contain_text(re.compile(r"\d{3}"))
    return told.inner_text()


def test_the_reference_shows_every_operation_from_what_we_serve_alone(playground: Playground) -> None:
    page, asked = playground.page, set[str]()
    page.on("request", lambda request: asked.add(request.url))
    page.goto("/docs")
    paths = page.request.get("/docs/openapi.json").json()["paths"].values()
    operations = [operation for path in paths for method, operation in path.items() if method != "parameters"]
    for operation in operations:
        expect(page.get_by_text(operation["summary"], exact=True).first).to_be_attached()
    elsewhere = [url for url in asked if not url.startswith(("data:", page.url.partition("/docs")[0]))]
    assert elsewhere == []


def test_an_upload_is_tried_with_the_key_of_the_page_and_a_photo_alone(playground: Playground) -> None:
    page = playground.page
    playground.unlock()
    show(page, "post", "/tryon/v1/images/upload")
    fill(page, None)
    assert "201" in executed(page)


@dataclass(frozen=True)
class Shop:
    """What calls need that are about something: made by the API itself, before the page is used."""

    playground: Playground

    def made(self, path: str, **request: Any) -> dict[str, Any]:
        headers = {"x-api-key": self.playground.key}
        answer = self.playground.page.request.post(f"/tryon/v1{path}", headers=headers, **request)
        assert answer.ok, answer.text()
        return dict(answer.json())

    def image(self) -> dict[str, Any]:
        return self.made("/images/upload", multipart={"file": PHOTO})

    def garment(self) -> dict[str, Any]:
        return {"images": [{"source": {"id": self.image()["imageId"]}}]}

    def try_on(self) -> dict[str, Any]:
        person = {"image": {"source": {"id": self.image()["imageId"]}}}
        return {"products": [self.garment()], "person": person}

    def product(self) -> str:
        return str(self.made("/products", data={"externalId": "shirt-1", **self.garment()})["externalId"])

    def link(self) -> dict[str, str]:
        image = self.image()
        return {"imageId": image["imageId"]} | dict(parse_qsl(urlsplit(image["imageUrl"]).query))


Filled = dict[str, str] | str | None
EXECUTED: dict[str, Callable[[Shop], Filled]] = {
    "uploadImage": lambda _shop: None,
    "checkImage": lambda _shop: None,
    "getImage": lambda shop: {"imageId": shop.image()["imageId"]},
    "deleteImage": lambda shop: {"imageId": shop.image()["imageId"]},
    "getPreview": Shop.link,
    "createUploadTicket": lambda _shop: "{}",
    "startTryOn": lambda shop: json.dumps(shop.try_on()),
    "tryOn": lambda shop: json.dumps(shop.try_on()),
    "listGenerations": lambda _shop: {},
    "getGeneration": lambda shop: {"generationId": shop.made("/try-on", data=shop.try_on())["generationId"]},
    "registerProduct": lambda shop: json.dumps({"externalId": "shirt-2", **shop.garment()}),
    "listProducts": lambda _shop: {},
    "getProduct": lambda shop: {"externalId": shop.product()},
    "deleteProduct": lambda shop: {"externalId": shop.product()},
    "getCredits": lambda _shop: {},
    "erase": lambda _shop: '{"customerId": "ann"}',
    "getErasure": lambda shop: {"erasureId": shop.made("/customers/erase", data={"customerId": "ann"})["erasureId"]},
    "eraseCustomer": lambda _shop: {"customerId": "ann"},
    "live": lambda _shop: {},
    "ready": lambda _shop: {},
}
"""What is filled in before Execute: parameters, a JSON body, or the example photo (None); nothing else."""


def test_every_operation_can_be_executed(playground: Playground) -> None:
    page, shop = playground.page, Shop(playground)
    playground.unlock()
    paths = page.request.get("/docs/openapi.json").json()["paths"]
    calls = [
        (method, path, operation["operationId"])
        for path, item in paths.items()
        for method, operation in item.items()
        if method != "parameters"
    ]
    assert {name for _, _, name in calls} == EXECUTED.keys()
    refused = []
    for method, path, name in calls:
        filled = EXECUTED[name](shop)
        show(page, method, path)
        fill(page, filled)
        if not re.search(r":\s?2\d\d", told := executed(page)):
            refused.append((name, told))
    assert refused == []


def fill(page: Page, filled: Filled) -> None:
    if filled is None:
        page.locator("input[type=file]").set_input_files(PHOTO)
    elif isinstance(filled, str):
        page.locator("textarea.request-body-param-user-input").fill(filled)
    else:
        for name, value in filled.items():
            page.locator(f"#input-request-param-{name}").fill(value)
