"""Patience: how long tests wait for what other processes, threads or the clock bring about."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Final

import httpx

PATIENCE_SECONDS: Final = 120.0
"""For a machine that is many times slower than ours, and busy. What comes at all comes in milliseconds here."""
# Of every client that is made without a word about time, which is five seconds otherwise: defaults share this object.
httpx._config.DEFAULT_TIMEOUT_CONFIG.__init__(PATIENCE_SECONDS)  # type: ignore[misc]


def wait_until(is_so: Callable[[], object], what: str = "it did not happen") -> None:
    """Raises: AssertionError, with `what`, when nobody would wait any longer."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not is_so():
        assert time.monotonic() < deadline, what
        time.sleep(0.01)


async def until(is_so: Callable[[], object | Awaitable[object]]) -> None:
    """The same, while the event loop turns. Raises: TimeoutError."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            answer = is_so()
            if await answer if isinstance(answer, Awaitable) else answer:
                return
            await asyncio.sleep(0.01)
