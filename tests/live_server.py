"""A real server on a free port of this machine, in a thread of the test's own process."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
from granian.constants import Interfaces
from granian.server.embed import Server
from litestar import Litestar

from tests.patience import PATIENCE_SECONDS, wait_until


@contextmanager
def serving(app: Litestar, port: int) -> Iterator[str]:
    """Yields: the base URL, once the server answers there."""
    running = _Running(app, port)
    thread = threading.Thread(target=lambda: asyncio.run(running.serve()), daemon=True)
    thread.start()
    try:
        url = f"http://127.0.0.1:{port}"
        wait_until(lambda: answers(url) or not thread.is_alive())
        assert thread.is_alive(), "the server ended early"
        yield url
    finally:
        running.stop()
        thread.join(PATIENCE_SECONDS)


def answers(url: str, health: str = "live") -> bool:
    """Whether the service there says that it is well; not a proxy in its place."""
    try:
        return httpx.get(f"{url}/health/{health}").status_code == 200
    except httpx.TransportError:
        return False


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
