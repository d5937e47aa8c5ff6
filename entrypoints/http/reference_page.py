"""The page of the API reference: Swagger UI out of a wheel, so that the page asks nobody else for anything."""

from importlib.util import find_spec
from pathlib import Path
from typing import Final

from litestar import Response, Router, get
from litestar.params import FromPath

from entrypoints.http.errors import AnyRequest
from entrypoints.http.web_files import WebFiles

PATH: Final = "/docs"
OWN_FILES: Final = Path(__file__).parent / "reference_page_files"
PAGE: Final = "page.html"
POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""Swagger UI styles its elements in place and draws its icons from data URLs."""


def reference_router() -> Router:
    """Where the page and its files are; the framework adds the document itself."""
    files = WebFiles.read([*OWN_FILES.iterdir(), *_swagger_ui()], POLICY)

    @get("/", media_type="text/html", sync_to_thread=False)
    def page(request: AnyRequest) -> Response[bytes]:
        return files.answer(request, PAGE)

    @get("/assets/{name:str}", sync_to_thread=False)
    def asset(request: AnyRequest, name: FromPath[str]) -> Response[bytes]:
        return files.answer(request, name)

    return Router(PATH, route_handlers=[page, asset], include_in_schema=False)


def _swagger_ui() -> tuple[Path, ...]:
    """The wheel is made for another tool, which we neither install nor import: only two of its files are served."""
    wheel = find_spec("mkdocs_swagger_ui_tag")
    if wheel is None or wheel.origin is None:
        raise FileNotFoundError("mkdocs-swagger-ui-tag is not installed")
    folder = Path(wheel.origin).parent / "swagger-ui"
    return folder / "stylesheets" / "swagger-ui.css", folder / "javascripts" / "swagger-ui-bundle.js"
