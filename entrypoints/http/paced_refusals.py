"""Refusals at a pace: who is refused asks again at once, and a flood of refusals would take the others' time.

A refusal alone is answered at once. Of one account's that were not counted as requests come twenty a second, two
hundred of all strangers together, whatever they ask for; the others wait, and so do their connections.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Final

from litestar.types import ASGIApp, Message, Receive, Scope, Send

ACCOUNT_SECONDS: Final = 0.05
STRANGERS_SECONDS: Final = 0.005
"""Between two answers."""
LONGEST_WAIT_SECONDS: Final = 10.0
UNCOUNTED: Final = frozenset({"RATE_LIMITED", "FORBIDDEN"})
"""All else that an account is refused comes out of its rate."""
STRANGERS: Final = ""
_SWEEP_AT: Final = 1000


class PacedRefusals:
    """Of one server process. Wrong keys are strangers; probes are never delayed, since none is answered with 4xx."""

    def __init__(self, app: ASGIApp, seconds: Callable[[], float] = time.monotonic) -> None:
        self._app = app
        self._seconds = seconds
        self._next_at: dict[str, float] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def paced(message: Message) -> None:
            if message["type"] == "http.response.start" and 400 <= message["status"] < 500:
                await self._wait(scope)
            await send(message)

        await self._app(scope, receive, paced)

    async def _wait(self, scope: Scope) -> None:
        account = scope.get("user")
        if account is None:
            await asyncio.sleep(self._delay(STRANGERS, STRANGERS_SECONDS))
        elif scope["state"].get("error_code") in UNCOUNTED:
            await asyncio.sleep(self._delay(account.account_id, ACCOUNT_SECONDS))

    def _delay(self, who: str, between_seconds: float) -> float:
        now = self._seconds()
        if len(self._next_at) >= _SWEEP_AT:
            self._next_at = {each: at for each, at in self._next_at.items() if at > now}
        answer_at = min(max(self._next_at.get(who, now), now), now + LONGEST_WAIT_SECONDS)
        self._next_at[who] = answer_at + between_seconds
        return answer_at - now
