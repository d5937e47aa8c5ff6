"""Check that everything is there that an upload needs."""

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from domain.errors import Overloaded

Probe = Callable[[], Awaitable[None]]


class RecentAnswer:
    """A probe that is asked at most every few seconds, for one that costs something; others get the last answer."""

    def __init__(self, probe: Probe, seconds: float = 5, now: Callable[[], float] = time.monotonic) -> None:
        self._probe = probe
        self._seconds = seconds
        self._now = now
        self._asking = asyncio.Lock()
        self._asked_at = -math.inf
        self._failure: Overloaded | None = None

    async def __call__(self) -> None:
        """Raises: Overloaded."""
        async with self._asking:
            if self._now() >= self._asked_at + self._seconds:
                self._failure = None
                try:
                    await self._probe()
                except Overloaded as error:
                    self._failure = error
                self._asked_at = self._now()
        if self._failure is not None:
            raise Overloaded(str(self._failure))


@dataclass(frozen=True, slots=True)
class CheckReadiness:
    """Asks all parts at once; a part that does not answer in time counts as failing."""

    probes: Mapping[str, Probe]
    timeout_seconds: float = 2

    async def execute(self) -> frozenset[str]:
        """Returns: the names of the parts that fail; empty when all is well."""
        answers = await asyncio.gather(*(self._is_well(probe) for probe in self.probes.values()))
        return frozenset(name for name, is_well in zip(self.probes, answers, strict=True) if not is_well)

    async def _is_well(self, probe: Probe) -> bool:
        try:
            async with asyncio.timeout(self.timeout_seconds):
                await probe()
        except (Overloaded, TimeoutError):
            return False
        return True
