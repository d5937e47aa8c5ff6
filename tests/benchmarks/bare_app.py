"""The bare framework: Granian and Litestar, one route, the same body from memory. Arguments: port, body."""

import sys
from typing import Any

import msgspec
from granian import Granian
from granian.constants import Interfaces
from litestar import Litestar, get

PORT = int(sys.argv[1])
BODY: dict[str, Any] = msgspec.json.decode(sys.argv[2].encode())


@get("/")
async def body() -> dict[str, Any]:
    return BODY


def create_app() -> Litestar:
    return Litestar([body], openapi_config=None, logging_config=None)


if __name__ == "__main__":
    Granian(
        "tests.benchmarks.bare_app:create_app",
        factory=True,
        interface=Interfaces.ASGI,
        port=PORT,
        workers=1,
        websockets=False,
        log_enabled=False,
    ).serve()
