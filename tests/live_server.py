"""A real server on a free port of this machine, in a thread of the test's own process."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
from granian.constants import Interfaces
from granian.server.embed import Server
from litestar import Litestar

PATIENCE_SECONDS = 20


@contextmanager
def serving(app: Litestar, port: int) -> Iterator[str]:
    """Yields: the base URL, once the server answers there."""
    running = _Running(app, port)
    thread = threading.Thread(target=lambda: asyncio.run(running.serve()), daemon=True)
    thread.start()
    try:
        url = f"http://127.0.0.1:{port}"
        transport = httpx.HTTPTransport(retries=20)  # a refused connection is tried again, with growing pauses
        with httpx.Client(transport=transport, timeout=PATIENCE_SECONDS) as client:
            client.get(f"{url}/health/live").raise_for_status()
        yield url
    finally:
        running.stop()
        thread.join(PATIENCE_SECONDS)


class _Running:
    def __init__(self, app: Litestar, port: int) -> None:
        self._app, self._port = app, port
        self._loop: asyncio.AbstractEventLoop | None = None
        self._server: Server | None = None

    async def serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._server = Server(
            self._app, port=self._port, interface=Interfaces.ASGI, websockets=False, log_enabled=False
        )
        await self._server.serve()

    def stop(self) -> None:
        if self._loop and self._server:
            self._loop.call_soon_threadsafe(self._server.stop)
