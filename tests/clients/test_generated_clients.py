"""Clients that others' generators make of the document: they compile, and run the whole flow against a live service."""

import shutil
import sys
from pathlib import Path

import httpx
import pytest

from tests.live_shop import CLIENTS, LiveShop, node

pytestmark = pytest.mark.xdist_group("clients")
BIN = CLIENTS / "node_modules" / ".bin"
LINT = (".redocly.lint-ignore.yaml", ".spectral.yaml", "redocly.yaml")


@pytest.fixture
def workshop(live_shop: LiveShop, tmp_path: Path) -> Path:
    """A folder with the document as it is served, and the packages in reach."""
    node()
    (tmp_path / "node_modules").symlink_to(CLIENTS / "node_modules")
    for name in (*LINT, "tsconfig.json", "package.json"):
        shutil.copy(CLIENTS / name, tmp_path)
    shutil.copytree(CLIENTS / "flows", tmp_path / "flows")
    # A linter takes an address of this machine for a mistake; nothing else of the document is changed.
    document = httpx.get(f"{live_shop.url}/docs/openapi.json").text.replace(live_shop.url, "https://photos.shop.test")
    (tmp_path / "document.json").write_text(document)
    return tmp_path


def npx(live_shop: LiveShop, workshop: Path, tool: str, *arguments: str) -> str:
    return live_shop.run([str(BIN / tool), *arguments], workshop)


def run_flow(live_shop: LiveShop, workshop: Path, name: str) -> None:
    npx(live_shop, workshop, "tsc", "-p", ".")
    npx(
        live_shop,
        workshop,
        "esbuild",
        f"flows/{name}.ts",
        "--bundle",
        "--platform=node",
        "--format=esm",
        "--outfile=flow.mjs",
    )
    assert live_shop.run([node(), "flow.mjs"], workshop).endswith("done\n")


def test_the_document_is_clean_under_redocly_and_spectral(live_shop: LiveShop, workshop: Path) -> None:
    npx(live_shop, workshop, "redocly", "lint", "document.json", "--max-problems", "0")
    npx(live_shop, workshop, "spectral", "lint", "-r", ".spectral.yaml", "document.json", "--fail-severity", "hint")


def test_openapi_typescript_and_openapi_fetch(live_shop: LiveShop, workshop: Path) -> None:
    (workshop / "generated").mkdir()
    npx(live_shop, workshop, "openapi-typescript", "document.json", "-o", "generated/schema.d.ts")
    (workshop / "flows" / "hey_api.ts").unlink()
    run_flow(live_shop, workshop, "openapi_fetch")


def test_hey_api_with_zod(live_shop: LiveShop, workshop: Path) -> None:
    plugins = ["zod", "@hey-api/client-fetch", "@hey-api/sdk", "@hey-api/typescript"]
    npx(live_shop, workshop, "openapi-ts", "-i", "document.json", "-o", "generated/hey", "-p", *plugins)
    (workshop / "flows" / "openapi_fetch.ts").unlink()
    run_flow(live_shop, workshop, "hey_api")


def test_openapi_python_client(live_shop: LiveShop, workshop: Path) -> None:
    generator = str(Path(sys.executable).parent / "openapi-python-client")
    live_shop.run([generator, "generate", "--path", "document.json", "--output-path", "client"], workshop)
    mypy = [sys.executable, "-m", "mypy", "--no-incremental", "--config-file", "/dev/null", "flows/python_client.py"]
    assert "Success" in live_shop.run(mypy, workshop, MYPYPATH=str(workshop / "client"))
    said = live_shop.run(
        [sys.executable, "-W", "error", "flows/python_client.py"], workshop, GENERATED=str(workshop / "client")
    )
    assert said == "done\n"
