"""A benchmark's process with the memory settings and the single thread of a photo worker."""

import os
import sys

from adapters.sandbox.fork_server_client import WORKER_ENVIRONMENT


def enter(module: str) -> None:
    """Start this process anew with them, unless they are there: malloc reads them only then."""
    if not WORKER_ENVIRONMENT.items() <= os.environ.items():
        os.execve(sys.executable, [sys.executable, "-m", module, *sys.argv[1:]], os.environ | WORKER_ENVIRONMENT)
