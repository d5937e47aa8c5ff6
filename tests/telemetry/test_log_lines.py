"""Log lines are for whoever reads them; the work does not depend on them."""

import io
import json
from collections.abc import Iterator

import pytest
import structlog

from entrypoints.server.logging import configure_structlog


class FullDisk(io.StringIO):
    def write(self, _line: str) -> int:
        raise OSError(28, "No space left on device")


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    yield
    structlog.reset_defaults()


def test_a_line_that_cannot_be_written_stops_nobody() -> None:
    configure_structlog("info", FullDisk())
    structlog.get_logger().warning("purge_failed")


def test_a_stream_that_was_closed_stops_nobody() -> None:
    stream = io.StringIO()
    configure_structlog("info", stream)
    stream.close()
    structlog.get_logger().warning("purge_failed")


def test_every_text_can_be_written() -> None:
    stream = io.StringIO()
    configure_structlog("info", stream)
    structlog.get_logger().error("photo_workers_failed", reason="half a pair: \ud83d")
    line = json.loads(stream.getvalue())
    assert (line["event"], line["reason"], line["level"]) == ("photo_workers_failed", "half a pair: \ud83d", "error")
