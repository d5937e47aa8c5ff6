"""Minimal servers to measure against: what one would build in an afternoon, behind the same HTTP server as ours.

Run by `tests.benchmarks.uploads` under Granian. Each reads a multipart upload and answers with the finished JPEG's
size: libvips and Pillow do the work of `tests.benchmarks.pixels` in the request's thread.
"""

import asyncio
from typing import Any

from litestar import Litestar, Request, get, post

from tests.benchmarks.pixels import libvips, pillow

MAX_BODY = 11 * 1024 * 1024


@post("/libvips")
async def by_libvips(request: Request[Any, Any, Any]) -> dict[str, int]:
    return await _encoded(request, libvips)


@post("/pillow")
async def by_pillow(request: Request[Any, Any, Any]) -> dict[str, int]:
    return await _encoded(request, pillow)


@get("/bare", sync_to_thread=False)
def bare() -> dict[str, Any]:
    return {"imageId": "img_0", "width": 1600, "height": 2000, "warnings": []}


async def _encoded(request: Request[Any, Any, Any], work: Any) -> dict[str, int]:
    form = await request.form()
    photo = await form["file"].read()
    return {"sizeBytes": len(await asyncio.to_thread(work, photo))}


def create_app() -> Litestar:
    return Litestar([by_libvips, by_pillow, bare], request_max_body_size=MAX_BODY, openapi_config=None)
