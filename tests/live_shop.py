"""A whole service for clients in other processes: a real server, real photos, and a small web for garments."""

import asyncio
import fcntl
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from adapters.memory.surroundings import InMemoryObjectStore, InMemoryPhotoFetcher, InMemoryTryOnEngine
from adapters.memory.unit_of_work import InMemoryUnitOfWork
from application.authenticate import DEFAULT_ACCOUNT
from entrypoints.http.app import create_app
from entrypoints.wiring.container import Container
from entrypoints.wiring.settings import Settings
from tests.free_port import free_port
from tests.http.conftest import a_jpeg, account_with_key, an_in_process_processor
from tests.live_server import serving
from tests.patience import PATIENCE_SECONDS

CLIENTS = Path(__file__).parent / "clients"
SHIRT_URL = "https://shop.test/shirt.jpg"
IS_CI = "CI" in os.environ  # read by tests only: there, what a client needs has to be installed


@dataclass(frozen=True)
class LiveShop:
    """A running service and keys of accounts with nothing, no credits, and a low rate."""

    url: str
    key: str
    poor_key: str
    hasty_key: str
    photo: Path

    @property
    def environment(self) -> dict[str, str]:
        return {
            **os.environ,
            "TRYON_URL": self.url,
            "TRYON_KEY": self.key,
            "PHOTO": str(self.photo),
            "SHIRT_URL": SHIRT_URL,
        }

    def run(self, command: list[str], folder: Path, **more: str) -> str:
        """What a client prints. Raises: AssertionError with all that it said, when it fails."""
        done = subprocess.run(
            command,
            cwd=folder,
            env=self.environment | more,
            capture_output=True,
            text=True,
            timeout=2 * PATIENCE_SECONDS,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


@contextmanager
def a_live_shop(folder: Path, **settings: Any) -> Iterator[LiveShop]:
    port = free_port()
    container = Container(
        settings=Settings(data_dir=folder, port=port, rate_limit_per_minute=0, generations_at_once=1, **settings),
        objects=InMemoryObjectStore(),
        work=InMemoryUnitOfWork(),
        processor=an_in_process_processor(),
        fetcher=InMemoryPhotoFetcher({SHIRT_URL: a_jpeg(300, 300)}),
        try_on_engine=InMemoryTryOnEngine(),
    )
    keys = asyncio.run(_accounts(container))
    photo = folder / "photo.jpg"
    photo.write_bytes(a_jpeg(800, 1000))
    with serving(create_app(container), port) as url:
        yield LiveShop(url, *keys, photo=photo)


async def _accounts(container: Any) -> tuple[str, str, str]:
    keys = [await account_with_key(container, name) for name in (DEFAULT_ACCOUNT, "poor", "hasty")]
    await container.set_credits().execute("poor", 0)

    def hasty(account: Any) -> Any:
        from dataclasses import replace  # noqa: PLC0415

        return replace(account, requests_per_minute=1)

    await container.change_account().execute("hasty", hasty)
    return keys[0], keys[1], keys[2]


def node() -> str:
    """The way to Node.js with what clients are made of. Skips the test where there is none, but for CI."""
    found = shutil.which("node")
    if found is None or not npm_ci(CLIENTS):
        assert not IS_CI, "Node.js or the packages of tests/clients are not installed"
        pytest.skip("Node.js and `npm ci` in tests/clients are needed")
    return found


def npm_ci(folder: Path) -> bool:
    """Install what clients there are made of, unless it is there; three times if the registry does not answer."""
    installed = folder / "node_modules" / ".package-lock.json"  # npm writes it last
    with (folder / "package.json").open() as one_at_a_time:
        fcntl.flock(one_at_a_time, fcntl.LOCK_EX)  # another test process may be installing just now
        for again in range(3 if shutil.which("npm") else 0):
            if installed.exists():
                break
            time.sleep(5 * again)
            done = subprocess.run(
                ["npm", "ci", "--no-audit", "--no-fund"], cwd=folder, capture_output=True, check=False
            )
            if done.returncode:
                print(f"npm ci in {folder} failed:", done.stderr.decode(errors="replace")[-1000:])
    return installed.exists()
