"""A light server in a process of its own that a test starts, stops and kills."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import httpx

from entrypoints.wiring.container import Container
from entrypoints.wiring.environment import load_settings
from entrypoints.wiring.settings import Settings
from tests.builders import MovableClock
from tests.free_port import free_port
from tests.patience import PATIENCE_SECONDS

API_KEY = "gk_dev"


@dataclass
class Nursery:
    """Starts servers on one address and one data folder, one after the other."""

    process: asyncio.subprocess.Process
    environment: dict[str, str]
    group: int = 0

    @property
    def settings(self) -> Settings:
        return load_settings(self.environment)

    def container(self, clock: MovableClock) -> Container:
        """The same storage, at another time."""
        return Container(settings=self.settings, clock=clock)

    def client(self) -> httpx.AsyncClient:
        url = f"http://127.0.0.1:{self.settings.port}"
        # A connection for each request: one that a killed server left behind would hide whether its heir is there.
        limits = httpx.Limits(max_keepalive_connections=0)
        return httpx.AsyncClient(base_url=url, headers={"x-api-key": API_KEY}, timeout=PATIENCE_SECONDS, limits=limits)

    async def start(self) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(b"start\n")
        self.group = int(await self.process.stdout.readline())
        async with self.client() as client:
            while True:
                with suppress(httpx.TransportError):
                    if (await client.get("/health/live")).status_code == 200:
                        return
                await asyncio.sleep(0.01)

    def send(self, signal_number: int) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self.group, signal_number)

    def kill(self) -> None:
        self.send(signal.SIGKILL)


@asynccontextmanager
async def a_nursery(folder: Path, **settings: str) -> AsyncIterator[Nursery]:
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("TRYON_")},
        "TRYON_DATA_DIR": str(folder),
        "TRYON_PORT": str(free_port()),
        "TRYON_DEV_API_KEY": API_KEY,
        "TRYON_RATE_LIMIT_PER_MINUTE": "1000000",
        **settings,
    }
    with (folder / "server.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "tests.durability.light_server",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=log,
            env=environment,
        )
    nursery = Nursery(process, environment)
    try:
        yield nursery
    finally:
        if nursery.group:
            nursery.kill()
        process.kill()
        await process.wait()
        process._transport.close()  # type: ignore[attr-defined]  # or its pipes are closed too late, with a warning
