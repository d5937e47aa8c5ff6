"""The server process: Granian around the Litestar application."""

import os

from granian import Granian
from granian.constants import Interfaces

from entrypoints.settings import load_settings

SHUTDOWN_SECONDS = 30
"""What an upload in flight may still take after SIGTERM; Kubernetes' default grace period."""


APPLICATION = "entrypoints.http.app:from_environment"


def main(application: str = APPLICATION) -> None:
    """Serve until told to stop. On SIGTERM uploads in flight are finished, new connections refused.

    Args: application: `module:function`, called in each server process.
    """
    settings = load_settings(os.environ)
    Granian(
        application,
        factory=True,
        interface=Interfaces.ASGI,
        address=settings.host,
        port=settings.port,
        workers=settings.server_processes,
        websockets=False,
        log_access=False,
        respawn_failed_workers=True,
        workers_kill_timeout=SHUTDOWN_SECONDS,
    ).serve()


if __name__ == "__main__":
    main()
