"""The page at `/` to try the service on: static files without a build step, clients of the API like any other."""

from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import msgspec
from litestar import Response, Router, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody

from domain.errors import InvalidApiKey
from entrypoints.http.errors import AnyRequest
from entrypoints.http.service import Service
from entrypoints.http.web_files import WebFiles
from entrypoints.wiring.settings import Settings
from entrypoints.wiring.sign_in import redeem

FOLDER: Final = Path(__file__).parent / "playground"
INSTALLED_EXAMPLES: Final = FOLDER / "examples"  # where the wheel has them; a checkout has them at its root
EXAMPLES: Final = INSTALLED_EXAMPLES if INSTALLED_EXAMPLES.is_dir() else Path(__file__).parents[2] / "examples"
PICTURES: Final = frozenset({".jpg", ".heic"})
PAGE: Final = "index.html"
CLOUD_STORAGE: Final = "https://storage.googleapis.com"


class SignIn(msgspec.Struct):
    """The token of a link that `serve` printed."""

    token: str


class PassBody(msgspec.Struct, rename="camel"):
    """Goes where an API key goes, for some hours."""

    page_pass: str


@post("/playground/sign-in", status_code=200)
async def sign_in(service: NamedDependency[Service], data: JSONBody[SignIn]) -> PassBody:
    """Raises: InvalidApiKey: the link was used already, is over, or is not the latest."""
    if service.page_pass is None or not redeem(service.settings, data.token):
        raise InvalidApiKey
    return PassBody(service.page_pass.issue())


def playground_router(settings: Settings) -> Router:
    """The page knows no key: whoever uses it brings one, or comes by the link that `serve` printed."""
    examples = [path for path in EXAMPLES.iterdir() if path.suffix in PICTURES]
    files = WebFiles.read([*(path for path in FOLDER.iterdir() if path.is_file()), *examples], _policy(settings))

    @get("/", media_type="text/html", sync_to_thread=False)
    def page(request: AnyRequest) -> Response[bytes]:
        return files.answer(request, PAGE)

    @get("/playground/{name:str}", sync_to_thread=False)
    def asset(request: AnyRequest, name: FromPath[str]) -> Response[bytes]:
        return files.answer(request, name)

    return Router("/", route_handlers=[page, asset, sign_in])


def _policy(settings: Settings) -> str:
    """Pictures come from where links lead to, which need not be the host that the page was asked from."""
    public = urlsplit(settings.base_url)
    pictures = f"{public.scheme}://{public.netloc}" if settings.serves_previews else CLOUD_STORAGE
    return (
        f"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: {pictures}; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
