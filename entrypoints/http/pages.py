"""Our web pages, the playground at `/` and the reference at `/docs`: static files without a build step, from memory.

They ask nobody else for anything, and are clients of the API like any other.
"""

import gzip
import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final, Self
from urllib.parse import urlsplit

import msgspec
from litestar import Response, Router, get, post
from litestar.di import NamedDependency
from litestar.exceptions import NotFoundException
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath

from domain.errors import InvalidApiKey
from entrypoints.http.errors import AnyRequest
from entrypoints.http.request_parts import decoded_object, read_json
from entrypoints.http.service import Service
from entrypoints.wiring.keys import redeem
from entrypoints.wiring.settings import PREVIEWS_PATH, Settings

MEDIA_TYPES: Final = {
    ".html": "text/html",
    ".css": "text/css",
    ".js": "text/javascript",
    ".svg": "image/svg+xml",
    ".jpg": "image/jpeg",
    ".heic": "image/heic",
}
HARDENING: Final = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
}


VERSION: Final = "v"
"""In the query of a file's address: its content's hash, for which a browser may keep it for good."""
KEEP_FOR_GOOD: Final = "public, max-age=31536000, immutable"
ADDRESS: Final = re.compile(rb'(?<=")(/[a-z/]+/)([a-z_-]+\.(?:js|css|svg))(?=")')


@dataclass(frozen=True, slots=True)
class WebFile:
    """One file as it is sent: as it is, and compressed where that makes it smaller."""

    content: bytes
    compressed: bytes | None
    media_type: str
    version: str

    @classmethod
    def of(cls, content: bytes, media_type: str) -> Self:
        compressed = gzip.compress(content, mtime=0)
        is_smaller = len(compressed) < 0.9 * len(content)
        return cls(content, compressed if is_smaller else None, media_type, hashlib.sha256(content).hexdigest()[:32])


@dataclass(frozen=True, slots=True)
class WebFiles:
    """`policy` is the Content-Security-Policy of every answer."""

    files: Mapping[str, WebFile]
    policy: str

    @classmethod
    def read(cls, paths: Iterable[Path], policy: str) -> Self:
        """Pages name their files with versions. Raises: OSError: the installation is broken."""
        files = {path.name: WebFile.of(path.read_bytes(), MEDIA_TYPES[path.suffix]) for path in paths}

        def versioned(address: re.Match[bytes]) -> bytes:
            file = files.get(address[2].decode())
            return address[0] + f"?{VERSION}={file.version}".encode() if file else address[0]

        pages = {name: file for name, file in files.items() if name.endswith(".html")}
        return cls(
            files
            | {name: WebFile.of(ADDRESS.sub(versioned, page.content), page.media_type) for name, page in pages.items()},
            policy,
        )

    def answer(self, request: AnyRequest, name: str) -> Response[bytes]:
        """The file, or 304 when the browser has it already. Raises: NotFoundException."""
        file = self.files.get(name)
        if file is None:
            raise NotFoundException
        is_versioned = request.query_params.get(VERSION) == file.version
        headers = HARDENING | {
            "content-security-policy": self.policy,
            "cache-control": KEEP_FOR_GOOD if is_versioned else "no-cache",
            "etag": f'"{file.version}"',
            "vary": "accept-encoding",
        }
        if request.headers.get("if-none-match") == headers["etag"]:
            return Response(b"", status_code=304, headers=headers, media_type=file.media_type)
        if file.compressed is not None and "gzip" in request.headers.get("accept-encoding", ""):
            headers["content-encoding"] = "gzip"
            return Response(file.compressed, headers=headers, media_type=file.media_type)
        return Response(file.content, headers=headers, media_type=file.media_type)


REFERENCE: Final = Path(__file__).parent / "openapi.yaml"
OWN_FILES: Final = Path(__file__).parent / "reference_page_files"
REFERENCE_PAGE: Final = "page.html"
JSON: Final = "openapi.json"
PREVIEWS: Final = f"{PREVIEWS_PATH}/{{imageId}}"
REFERENCE_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' blob: data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""RapiDoc styles its elements in place and shows pictures that answers carry; no script but ours and its own runs."""


def reference_router(settings: Settings) -> Router:
    """Where the document, the page and its files are."""
    files = WebFiles.read(OWN_FILES.iterdir(), REFERENCE_POLICY)
    document = msgspec.json.encode(served_document(settings))
    files = WebFiles({**files.files, JSON: WebFile.of(document, "application/json")}, REFERENCE_POLICY)

    @get("/openapi.json", media_type="application/json", sync_to_thread=False)
    def openapi(request: AnyRequest) -> Response[bytes]:
        return files.answer(request, JSON)

    return _router("/docs", files, REFERENCE_PAGE, "/assets", openapi)


def served_document(settings: Settings) -> dict[str, Any]:
    """`openapi.yaml` with what only a running service knows: its version, its address, whether it serves pictures."""
    document = _document()
    paths = {path: item for path, item in document["paths"].items() if path != PREVIEWS or settings.serves_previews}
    info = document["info"] | {"version": version("tryon-images")}
    return document | {"info": info, "servers": [{"url": settings.base_url}], "paths": paths}


@cache
def _document() -> dict[str, Any]:
    return msgspec.yaml.decode(REFERENCE.read_bytes(), type=dict[str, Any])


PLAYGROUND: Final = Path(__file__).parent / "playground"
INSTALLED_EXAMPLES: Final = PLAYGROUND / "examples"  # where the wheel has them; a checkout has them at its root
EXAMPLES: Final = INSTALLED_EXAMPLES if INSTALLED_EXAMPLES.is_dir() else Path(__file__).parents[2] / "examples"
PICTURES: Final = frozenset({".jpg", ".heic"})
PLAYGROUND_PAGE: Final = "index.html"
CLOUD_STORAGE: Final = "https://storage.googleapis.com"


@post("/playground/sign-in", status_code=200)
async def sign_in(request: AnyRequest, service: NamedDependency[Service]) -> dict[str, str]:
    """A pass for the token of a link that `serve` printed: it goes where an API key goes, for some hours.

    Raises: InvalidApiKey: the link was used already, is over, or is not the latest; ValidationFailed: it is no JSON.
    """
    if service.page_pass is None:  # before a byte is read: where there are no links, anybody may ask
        raise InvalidApiKey
    token = decoded_object(await read_json(request.stream())).get("token")
    if not isinstance(token, str) or not redeem(service.settings, token):
        raise InvalidApiKey
    return {"pagePass": service.page_pass.issue()}


def playground_router(settings: Settings) -> Router:
    """The page knows no key: whoever uses it brings one, or comes by the link that `serve` printed."""
    examples = [path for path in EXAMPLES.iterdir() if path.suffix in PICTURES]
    files = WebFiles.read([*(path for path in PLAYGROUND.iterdir() if path.is_file()), *examples], _policy(settings))

    return _router("/", files, PLAYGROUND_PAGE, "/playground", sign_in)


def _router(path: str, files: WebFiles, page_name: str, assets: str, *more: HTTPRouteHandler) -> Router:
    """A page, and below `assets` all files by their names."""

    @get("/", media_type="text/html", sync_to_thread=False)
    def page(request: AnyRequest) -> Response[bytes]:
        return files.answer(request, page_name)

    @get(f"{assets}/{{name:str}}", sync_to_thread=False)
    def asset(request: AnyRequest, name: FromPath[str]) -> Response[bytes]:
        return files.answer(request, name)

    return Router(path, route_handlers=[page, asset, *more])


def _policy(settings: Settings) -> str:
    """Pictures come from where links lead to, which need not be the host that the page was asked from."""
    public = urlsplit(settings.base_url)
    pictures = f"{public.scheme}://{public.netloc}" if settings.serves_previews else CLOUD_STORAGE
    return (
        f"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: {pictures}; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
