"""The page of the API reference in a real browser."""

from playwright.sync_api import expect

from tests.playground.conftest import Playground


def test_the_reference_renders_every_operation_from_what_we_serve_alone(playground: Playground) -> None:
    page, asked = playground.page, set[str]()
    page.on("request", lambda request: asked.add(request.url))
    page.goto("/docs")
    paths = page.request.get("/docs/openapi.json").json()["paths"].values()
    operations = [method for path in paths for method in path if method != "parameters"]
    expect(page.locator(".opblock")).to_have_count(len(operations))
    page.locator("#operations-Images-uploadImage .opblock-summary-control").click()
    expect(page.get_by_text("IDEMPOTENCY_KEY_REUSED").first).to_be_visible()
    elsewhere = [url for url in asked if not url.startswith(("data:", page.url.partition("/docs")[0]))]
    assert elsewhere == []
