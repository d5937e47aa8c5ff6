"""The snippets of docs/integrate: each is run against a live service, and stands in its page as it is here."""

import hashlib
import hmac
import http.server
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlencode

import httpx
import pytest
from playwright.sync_api import Browser, sync_playwright

from tests.free_port import free_port
from tests.live_shop import CLIENTS, IS_CI, LiveShop, node
from tests.patience import PATIENCE_SECONDS

pytestmark = pytest.mark.xdist_group("clients")
GUIDES = Path(__file__).parents[2] / "docs" / "integrate"
SNIPPETS = GUIDES / "snippets"


def expect_a_picture(printed: str) -> None:
    assert httpx.get(printed.strip()).headers["content-type"] == "image/jpeg"


def test_every_snippet_stands_in_a_page_as_it_is_run() -> None:
    pages = "\n".join(page.read_text() for page in GUIDES.glob("*.md"))
    for snippet in SNIPPETS.iterdir():
        assert snippet.read_text().strip() in pages, snippet.name


def test_node(live_shop: LiveShop) -> None:
    expect_a_picture(live_shop.run([node(), "node.mjs"], SNIPPETS))


def test_python(live_shop: LiveShop) -> None:
    expect_a_picture(live_shop.run([sys.executable, "python.py"], SNIPPETS))


def test_php(live_shop: LiveShop) -> None:
    php = shutil.which("php")
    if php is None:
        assert not IS_CI, "PHP is not installed"
        pytest.skip("PHP is needed")
    expect_a_picture(live_shop.run([php, "tryon.php"], SNIPPETS))


@pytest.fixture
def workshop(tmp_path: Path) -> Path:
    node()
    (tmp_path / "node_modules").symlink_to(CLIENTS / "node_modules")
    shutil.copytree(SNIPPETS, tmp_path / "flows")
    shutil.copy(CLIENTS / "tsconfig.json", tmp_path)
    return tmp_path


def bundled(live_shop: LiveShop, workshop: Path, name: str) -> None:
    """Type-checked, and in one file."""
    tools = CLIENTS / "node_modules" / ".bin"
    live_shop.run([str(tools / "tsc"), "-p", "."], workshop)
    live_shop.run(
        [str(tools / "esbuild"), f"flows/{name}", "--bundle", "--format=esm", "--outfile=bundle.mjs"], workshop
    )


def test_next_route(live_shop: LiveShop, workshop: Path) -> None:
    bundled(live_shop, workshop, "next-route.ts")
    (workshop / "visit.mjs").write_text(
        """
import { readFileSync } from "node:fs";
import { GET, POST } from "./bundle.mjs";
const shop = "https://shop.test/api/try-on", headers = { "x-demo-customer": "next" };
const asked = (step, body) => new Request(`${shop}/${step}`, { method: "POST", headers, body });
const post = async (step, body) => (await POST(asked(step, body))).json();
const { ticket, uploadUrl } = await post("ticket");
const form = new FormData();
form.append("file", new Blob([readFileSync(process.env.PHOTO)]));
const authorization = `Bearer ${ticket}`;
const uploaded = await fetch(uploadUrl, { method: "POST", headers: { authorization }, body: form });
const { imageId } = await uploaded.json();
const product = { productId: "n", productImage: process.env.SHIRT_URL };
const { generationId } = await post("start", JSON.stringify({ imageId, ...product }));
let generation;
do generation = await (await GET(new Request(`${shop}/status?id=${generationId}`))).json();
while (!["COMPLETED", "FAILED"].includes(generation.status));
const stranger = await POST(new Request(`${shop}/ticket`, { method: "POST" }));
console.log(stranger.status, generation.resultImageUrl);
"""
    )
    status, url = live_shop.run([node(), "visit.mjs"], workshop).split()
    assert status == "401"
    expect_a_picture(url)


def test_expo(live_shop: LiveShop, workshop: Path) -> None:
    """A device is needed to run it; its multipart shape is replayed in test_client_families."""
    bundled(live_shop, workshop, "expo-upload.ts")
    assert "uploadPhoto" in (workshop / "bundle.mjs").read_text()


@pytest.fixture
def proxy(live_shop: LiveShop) -> Iterator[str]:
    port = free_port()
    environment = live_shop.environment | {"SHOPIFY_SECRET": "hush", "PORT": str(port)}
    running = subprocess.Popen([node(), "shopify-proxy.mjs"], cwd=SNIPPETS, env=environment, stdout=subprocess.PIPE)
    try:
        assert running.stdout is not None
        running.stdout.readline()
        yield f"http://127.0.0.1:{port}/ticket"
    finally:
        running.terminate()
        running.communicate(timeout=PATIENCE_SECONDS)


def test_shopify_proxy(proxy: str) -> None:
    sent = {"shop": "acme.myshopify.com", "logged_in_customer_id": "7", "path_prefix": "/apps/try-on", "timestamp": "1"}
    message = "".join(f"{name}={value}" for name, value in sorted(sent.items()))
    signature = hmac.new(b"hush", message.encode(), hashlib.sha256).hexdigest()
    made = httpx.get(f"{proxy}?{urlencode(sent | {'signature': signature})}")
    assert made.status_code == 201
    assert made.json()["ticket"].startswith("tkt_")
    assert httpx.get(f"{proxy}?{urlencode(sent | {'signature': signature[:-1] + '0', 'shop': 'x'})}").status_code == 401


@pytest.fixture
def other_origin() -> Iterator[str]:
    """The guide's page, from an origin that is not the service's."""

    class Page(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *arguments: object) -> None:
            super().__init__(*arguments, directory=str(SNIPPETS))  # type: ignore[arg-type]  # as the server calls it

        def log_message(self, *_: object) -> None:
            """Says nothing."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://localhost:{server.server_port}/page.html"
        server.shutdown()


@pytest.fixture
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        yield browser
        browser.close()


def test_a_page_of_another_origin_in_a_browser(live_shop: LiveShop, other_origin: str, browser: Browser) -> None:
    made = httpx.post(f"{live_shop.url}/tryon/v1/upload-tickets", json={}, headers={"x-api-key": live_shop.key}).json()
    page = browser.new_page()
    page.set_default_timeout(1000 * PATIENCE_SECONDS)
    page.goto(f"{other_origin}#{urlencode({'ticket': made['ticket'], 'uploadUrl': made['uploadUrl']})}")
    page.set_input_files("input", live_shop.photo)
    page.wait_for_function(
        "document.querySelector('p').textContent.startsWith('img_')", timeout=1000 * PATIENCE_SECONDS
    )
    page.reload()
    page.set_input_files("input", {"name": "other.jpg", "mimeType": "image/jpeg", "buffer": b"another photo"})
    page.wait_for_function(
        "document.querySelector('p').textContent.startsWith('TICKET_USED')", timeout=1000 * PATIENCE_SECONDS
    )
    assert (
        page.evaluate(
            "url => fetch(url, {headers: {'x-api-key': 'k'}}).catch(() => 'refused')",
            f"{live_shop.url}/tryon/v1/products",
        )
        == "refused"
    )
