"""The OpenAPI document and its page: RapiDoc, served from here, so that the page asks nobody else for anything."""

from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import msgspec
from litestar import Response, Router, get
from litestar.params import FromPath

from entrypoints.http.errors import AnyRequest
from entrypoints.http.web_files import WebFile, WebFiles
from entrypoints.wiring.settings import Settings

DOCUMENT: Final = Path(__file__).parent / "openapi.yaml"
OWN_FILES: Final = Path(__file__).parent / "reference_page_files"
PAGE: Final = "page.html"
JSON: Final = "openapi.json"
PREVIEWS: Final = "/tryon/v1/previews/{imageId}"
POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' blob: data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""RapiDoc styles its elements in place and shows pictures that answers carry; no script but ours and its own runs."""


def reference_router(settings: Settings) -> Router:
    """Where the document, the page and its files are."""
    files = WebFiles.read(OWN_FILES.iterdir(), POLICY)
    document = msgspec.json.encode(served_document(settings))
    files = WebFiles({**files.files, JSON: WebFile.of(document, "application/json")}, POLICY)

    @get("/", media_type="text/html", sync_to_thread=False)
    def page(request: AnyRequest) -> Response[bytes]:
        return files.answer(request, PAGE)

    @get("/openapi.json", media_type="application/json", sync_to_thread=False)
    def openapi(request: AnyRequest) -> Response[bytes]:
        return files.answer(request, JSON)

    @get("/assets/{name:str}", sync_to_thread=False)
    def asset(request: AnyRequest, name: FromPath[str]) -> Response[bytes]:
        return files.answer(request, name)

    return Router("/docs", route_handlers=[page, openapi, asset])


def served_document(settings: Settings) -> dict[str, Any]:
    """`openapi.yaml` with what only a running service knows: its version, its address, whether it serves pictures."""
    document = _document()
    paths = {path: item for path, item in document["paths"].items() if path != PREVIEWS or settings.serves_previews}
    info = document["info"] | {"version": version("tryon-images")}
    return document | {"info": info, "servers": [{"url": settings.base_url}], "paths": paths}


@cache
def _document() -> dict[str, Any]:
    return msgspec.yaml.decode(DOCUMENT.read_bytes(), type=dict[str, Any])
