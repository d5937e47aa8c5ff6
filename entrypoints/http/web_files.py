"""Files of our web pages: read once, served from memory, each by its exact name, so that no path can lead elsewhere."""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from litestar import Response
from litestar.exceptions import NotFoundException

from entrypoints.http.errors import AnyRequest

MEDIA_TYPES: Final = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".jpg": "image/jpeg",
    ".heic": "image/heic",
}
HARDENING: Final = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
}


@dataclass(frozen=True, slots=True)
class WebFile:
    """One file as it is sent."""

    content: bytes
    media_type: str
    etag: str

    @classmethod
    def of(cls, content: bytes, media_type: str) -> Self:
        return cls(content, media_type, f'"{hashlib.sha256(content).hexdigest()[:32]}"')


@dataclass(frozen=True, slots=True)
class WebFiles:
    """`policy` is the Content-Security-Policy of every answer."""

    files: Mapping[str, WebFile]
    policy: str

    @classmethod
    def read(cls, paths: Iterable[Path], policy: str) -> Self:
        """Raises: OSError when a file is not there: the installation is broken."""
        return cls({path.name: WebFile.of(path.read_bytes(), MEDIA_TYPES[path.suffix]) for path in paths}, policy)

    def answer(self, request: AnyRequest, name: str) -> Response[bytes]:
        """The file, or 304 when the browser has it already. Raises: NotFoundException."""
        file = self.files.get(name)
        if file is None:
            raise NotFoundException
        headers = HARDENING | {"content-security-policy": self.policy, "cache-control": "no-cache", "etag": file.etag}
        if request.headers.get("if-none-match") == file.etag:
            return Response(b"", status_code=304, headers=headers, media_type=file.media_type)
        return Response(file.content, headers=headers, media_type=file.media_type)
