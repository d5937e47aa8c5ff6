"""The page of the API reference in a real browser."""

import re

from playwright.sync_api import Page, expect

from tests.playground.conftest import Playground, the_photo


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
    page.locator("input[type=file]").set_input_files(
        {"name": "photo.jpg", "mimeType": "image/jpeg", "buffer": the_photo()}
    )
    assert "201" in executed(page)
