"""Whether everything that an upload needs is there."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from domain.errors import Overloaded

Probe = Callable[[], Awaitable[None]]


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
