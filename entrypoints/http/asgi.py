"""The application as the environment wants it: each server process loads it from here.

The photo workers' libraries and the application's take a second or two each, so both load at once: the former in the
fork server, which is started before anything else is imported here.
"""

import os
from typing import TYPE_CHECKING

from entrypoints.wiring.environment import load_settings
from entrypoints.wiring.photo_processing import build_processor

if TYPE_CHECKING:
    from litestar import Litestar


def from_environment() -> "Litestar":
    """The application as the server process runs it. Raises: OSError: no process or descriptor left."""
    settings = load_settings(os.environ)
    photo_workers = build_processor(settings)
    photo_workers.launch()

    from entrypoints.http.app import create_app  # noqa: PLC0415
    from entrypoints.server.logging import configure_structlog  # noqa: PLC0415
    from entrypoints.wiring.container import Container  # noqa: PLC0415 - see above
    from entrypoints.wiring.telemetry import traces_from_environment  # noqa: PLC0415

    configure_structlog(settings.log_level)
    traces = traces_from_environment(os.environ)
    return create_app(Container(settings=settings, photo_workers=photo_workers, traces=traces))
