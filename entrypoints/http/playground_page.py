"""A page at / to try the service on: static files without a build step, which talk to the API as any client does."""

from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from litestar import Response, Router, get
from litestar.params import FromPath

from entrypoints.http.errors import AnyRequest
from entrypoints.http.web_files import WebFiles
from entrypoints.wiring.settings import Settings

FOLDER: Final = Path(__file__).parent / "playground"
PAGE: Final = "index.html"
CLOUD_STORAGE: Final = "https://storage.googleapis.com"


def playground_router(settings: Settings) -> Router:
    """The page knows no key: who uses it brings one."""
    files = WebFiles.read(FOLDER.iterdir(), _policy(settings))

    @get("/", media_type="text/html", sync_to_thread=False)
    def page(request: AnyRequest) -> Response[bytes]:
        return files.answer(request, PAGE)

    @get("/playground/{name:str}", sync_to_thread=False)
    def asset(request: AnyRequest, name: FromPath[str]) -> Response[bytes]:
        return files.answer(request, name)

    return Router("/", route_handlers=[page, asset])


def _policy(settings: Settings) -> str:
    """Pictures come from where links lead to, which need not be the host that the page was asked from."""
    public = urlsplit(settings.base_url)
    pictures = f"{public.scheme}://{public.netloc}" if settings.serves_previews else CLOUD_STORAGE
    return (
        f"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: {pictures}; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
