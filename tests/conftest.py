"""Fixtures that any test may ask for, and what every test leaves as it found it."""

import logging
from collections.abc import Iterator

import hypothesis
import pytest
import structlog

pytest_plugins = ["tests.postgres", "tests.scheduling"]
hypothesis.settings.register_profile(
    "steady",
    deadline=None,  # of wall time, which is others' on a busy machine
    derandomize=True,  # the same examples here and in CI
    database=None,  # nothing between tests that run at the same time
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.load_profile("steady")


@pytest.fixture(autouse=True)
def _leave_logging_as_it_was() -> Iterator[None]:
    """A command that runs inside a test sets up the log for its process, which is that of the tests after it too."""
    root, ours = logging.getLogger(), structlog.get_config()
    handlers, level = list(root.handlers), root.level
    yield
    structlog.configure(**ours)
    logging.captureWarnings(False)
    root.setLevel(level)
    for handler in set(root.handlers) - set(handlers):
        root.removeHandler(handler)
