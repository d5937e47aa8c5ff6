"""A server on IPv6: links, the metrics' own port, and a bound address in brackets."""

import os
import re
import socket
from pathlib import Path

import httpx
import pytest

from entrypoints.wiring.environment import load_settings
from tests.free_port import free_port
from tests.http.conftest import a_jpeg
from tests.patience import PATIENCE_SECONDS
from tests.server.test_scrape import KEY, started
from tests.server.test_serve import wait_until_ready


def has_ipv6() -> bool:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        return False
    return True


@pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6")
@pytest.mark.parametrize("host", ["::1", "::"])
def test_a_server_on_ipv6_gives_links_that_open(tmp_path: Path, host: str) -> None:
    port, metrics_port = free_port(), free_port()
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("TRYON_")},
        "TRYON_HOST": host,
        "TRYON_PORT": str(port),
        "TRYON_METRICS_HOST": host,
        "TRYON_METRICS_PORT": str(metrics_port),
        "TRYON_DATA_DIR": str(tmp_path / "data"),
        "TRYON_DEV_API_KEY": KEY,
        "TRYON_WORKERS": "1",
        "TRYON_DRAIN_SECONDS": "0",
        "TRYON_GENERATIONS_AT_ONCE": "0",
    }
    url = f"http://[::1]:{port}"
    with (tmp_path / "server.log").open("w") as log, started(environment, log) as process:
        wait_until_ready(url, process)
        photo = {"file": ("a.jpg", a_jpeg(480, 600), "image/jpeg")}
        stored = httpx.post(
            f"{url}/tryon/v1/images/upload", files=photo, headers={"x-api-key": KEY}, timeout=PATIENCE_SECONDS
        )
        link = stored.json()["imageUrl"]
        assert re.match(rf"http://\[{host}\]:{port}/", link)
        assert httpx.get(link.replace("[::]", "[::1]")).status_code == 200
        assert "tryon_build_info" in httpx.get(f"http://[::1]:{metrics_port}/metrics").text


def test_a_host_may_stand_in_brackets() -> None:
    assert load_settings({"TRYON_HOST": "::1"}).base_url == "http://[::1]:8000"
