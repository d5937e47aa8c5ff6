"""Google Cloud Storage, as far as `gcp-storage-emulator` knows it, over HTTP."""

from collections.abc import Iterator
from contextlib import contextmanager

from gcp_storage_emulator.server import create_server


@contextmanager
def storage_emulator(bucket: str) -> Iterator[str]:
    """Yields: what STORAGE_EMULATOR_HOST has to be."""
    server = create_server("127.0.0.1", 0, in_memory=True, default_bucket=bucket)
    server.start()
    try:
        yield f"http://127.0.0.1:{server._api._httpd.server_address[1]}"  # it tells its port nowhere else
    finally:
        server.stop()
