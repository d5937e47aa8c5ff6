"""The service on a disk of 12 MB that uploads fill: `unshare --mount python -m tests.durability.small_disk FOLDER`.

Mounts the disk for this process alone, and prints what was done as JSON.
"""

import asyncio
import io
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

from litestar.testing import TestClient
from PIL import Image
from prometheus_client import REGISTRY

from application.authenticate import DEFAULT_ACCOUNT
from entrypoints.http.app import create_app
from entrypoints.wiring.container import Container
from entrypoints.wiring.settings import Settings
from tests.builders import MovableClock, time_of
from tests.http.conftest import API, account_with_key, an_in_process_processor
from tests.patience import PATIENCE_SECONDS

DISK, RESERVE_MB = "12m", 5
MOST_UPLOADS = 200


def a_noisy_jpeg(width: int = 400, height: int = 500) -> bytes:
    """Hardly smaller than its pixels, before and after."""
    out = io.BytesIO()
    Image.frombytes("RGB", (width, height), os.urandom(3 * width * height)).save(out, "JPEG", quality=90)
    return out.getvalue()


class Story:
    """One client, one clock."""

    def __init__(self, client: TestClient[Any], key: str) -> None:
        self.client, self.headers = client, {"x-api-key": key}

    def upload(self, customer: str) -> Any:
        files = {"file": ("photo.jpg", a_noisy_jpeg(), "image/jpeg")}
        data = {"externalUserId": customer, "crop": "false"}
        return self.client.post(f"{API}/images/upload", files=files, data=data, headers=self.headers)

    def fill(self) -> Any:
        """Returns: the first refusal."""
        for number in range(MOST_UPLOADS):
            answer = self.upload(f"customer {number}")
            if answer.status_code != 201:
                return number, answer
        raise AssertionError("the disk is never full")

    def erase(self, customer: str) -> Any:
        return self.client.post(f"{API}/customers/erase", json={"customerId": customer}, headers=self.headers)


def pictures(folder: Path) -> list[Path]:
    return list(folder.rglob("*.jpg"))


def wait_until(is_so: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not is_so() and time.monotonic() < deadline:
        time.sleep(0.1)
    return is_so()


def main(folder: Path) -> dict[str, object]:
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK}", "tmpfs", str(folder)], check=True)
    clock = MovableClock()
    settings = Settings(
        data_dir=folder,
        disk_reserve_mb=RESERVE_MB,
        purge_interval_seconds=1,
        generations_at_once=0,
        rate_limit_per_minute=0,
    )
    container = Container(
        settings=settings, processor=an_in_process_processor(), clock=clock, trusted_time=time_of(clock)
    )
    asyncio.run(container.migrator().upgrade())
    key = asyncio.run(account_with_key(container, DEFAULT_ACCOUNT))
    with TestClient(create_app(container)) as client:
        story = Story(client, key)
        kept, refusal = story.fill()
        reserve_when_full = REGISTRY.get_sample_value("tryon_storage_reserve_ok")
        has_noticed = wait_until(lambda: client.get("/health/ready").json()["works"] == ["reads", "erasures"])
        erasures = [story.erase(f"customer {number}") for number in range(kept // 2)]
        refilled, second_refusal = story.fill()
        clock.time += timedelta(days=8)
        has_purged = wait_until(lambda: not pictures(folder))
        return {
            "kept": kept,
            "refusal": [refusal.status_code, refusal.json()["code"], int(refusal.headers["retry-after"]) > 0],
            "reserve_when_full": reserve_when_full,
            "has_noticed": has_noticed,
            "erasures": [[answer.status_code, answer.json()["imagesErased"]] for answer in erasures],
            "refilled": refilled,
            "second_refusal": second_refusal.json()["code"],
            "has_purged": has_purged,
            "after": story.upload("somebody new").status_code,
            "reserve_after": REGISTRY.get_sample_value("tryon_storage_reserve_ok"),
        }


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]))))
