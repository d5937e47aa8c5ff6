"""Files of our web pages: read once, served from memory, each by its exact name, so that no path can lead elsewhere."""

import gzip
import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from litestar import Response
from litestar.exceptions import NotFoundException

from entrypoints.http.errors import AnyRequest

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
