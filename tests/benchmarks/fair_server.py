"""The service as it is run, but that it fetches from this machine too: URLs can drip in a benchmark then."""

import os

from litestar import Litestar

from adapters.url_fetcher import UrlFetcher
from entrypoints.http.app import create_app
from entrypoints.server import process as server
from entrypoints.wiring.container import Container
from entrypoints.wiring.environment import load_settings
from entrypoints.wiring.photo_processing import build_processor


def application() -> Litestar:
    settings = load_settings(os.environ)
    photo_workers = build_processor(settings)
    photo_workers.launch()
    container = Container(settings=settings, photo_workers=photo_workers)
    fetcher = UrlFetcher(
        max_bytes=settings.max_file_bytes,
        memory=container.body_memory(),
        seconds=settings.fetch_timeout_seconds,
        allow_http=True,
        is_allowed=lambda address: address == "127.0.0.1",
        ports=frozenset(range(1, 65536)),
    )
    container.fetcher.override(fetcher)
    return create_app(container)


if __name__ == "__main__":
    server.main("tests.benchmarks.fair_server:application")
