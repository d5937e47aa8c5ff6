"""Readiness: which promises can be kept now, whatever else is down."""

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Final

from domain.errors import Overloaded

Probe = Callable[[], Awaitable[object]]
PROBE_SECONDS: Final = 2.0
"""A part that has not answered by then fails."""
FRESH_SECONDS: Final = 1.0
"""So long an answer holds: however many ask, a part is asked once a second."""
NEEDS: Final[Mapping[str, frozenset[str]]] = {
    "uploads": frozenset({"database", "commits", "storage", "reserve", "workers"}),
    "reads": frozenset({"database"}),
    "erasures": frozenset({"database", "commits"}),
}
"""An erasure is kept from its commit on; bytes that storage cannot delete now follow later."""


@dataclass(frozen=True, slots=True)
class Readiness:
    """`failing`: the parts that do."""

    failing: frozenset[str]

    @property
    def works(self) -> list[str]:
        return [name for name, parts in NEEDS.items() if not parts & self.failing]


class SharedProbe:
    """One is in flight at a time, and all who ask meanwhile wait for it.

    One that hangs is left alone: a thread that waits for a lost disk cannot be stopped, and a second one would hang
    beside it.
    """

    def __init__(self, part: str, probe: Probe, now: Callable[[], float] = time.monotonic) -> None:
        self._part = part
        self._probe = probe
        self._now = now
        self._begun_at = -math.inf
        self._answer: asyncio.Task[bool] | None = None

    async def is_well(self) -> bool:
        """False too when it has not answered within two seconds of its beginning."""
        if self._answer is None or (self._answer.done() and self._now() >= self._begun_at + FRESH_SECONDS):
            self._begun_at = self._now()
            self._answer = asyncio.create_task(self._ask(), name=f"probe of {self._part}")
        answer = self._answer
        await asyncio.wait({answer}, timeout=max(0.0, self._begun_at + PROBE_SECONDS - self._now()))
        return answer.done() and answer.result()

    async def _ask(self) -> bool:
        try:
            await self._probe()
        except Overloaded:
            return False
        except Exception as error:  # a bug in one part is no reason to take the others away
            asyncio.get_running_loop().call_exception_handler({"message": "A probe failed.", "exception": error})
            return False
        return True


class CheckReadiness:
    """Of one process. Asks all parts at once."""

    def __init__(self, probes: Mapping[str, Probe]) -> None:
        self._probes = {part: SharedProbe(part, probe) for part, probe in probes.items()}

    @property
    def parts(self) -> list[str]:
        return list(self._probes)

    async def execute(self) -> Readiness:
        """Within two seconds, whatever hangs."""
        answers = await asyncio.gather(*(probe.is_well() for probe in self._probes.values()))
        return Readiness(frozenset(part for part, is_well in zip(self._probes, answers, strict=True) if not is_well))
