"""The time between SIGTERM and the end: requests are still answered, but load balancers are told to send no more."""

import asyncio
import signal
import threading
from typing import Final

DRAIN_SIGNAL: Final = signal.SIGUSR1
"""From the supervisor to each server process: begin to drain."""


class Draining:
    """Once begun, it does not end."""

    def __init__(self) -> None:
        self.reasons: frozenset[str] = frozenset()
        """Why the server is not ready, in the words of `/health/ready`."""

    def begin(self) -> None:
        self.reasons = frozenset({"draining"})

    def listen(self) -> None:
        """Begin when the supervisor says so. Only a main thread can hear it."""
        if threading.current_thread() is threading.main_thread():
            asyncio.get_running_loop().add_signal_handler(DRAIN_SIGNAL, self.begin)
