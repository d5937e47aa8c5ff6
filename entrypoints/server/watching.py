"""Gauges that nobody counts: a server sets them every few seconds."""

import asyncio
from typing import Final

import structlog

from adapters.sandbox.processor import SandboxedPhotoProcessor
from adapters.sql.unit_of_work import DatabaseClock
from adapters.telemetry import metrics
from adapters.telemetry.metrics import AccountMeter
from application.body_memory import BodyMemory
from application.check_readiness import CheckReadiness
from application.ports.rows import UnitOfWork
from application.ports.system import Clock
from domain.errors import Overloaded

log = structlog.get_logger()

EVERY_SECONDS: Final = 5.0
ROUNDS_PER_LOOK: Final = 6
"""The database and the readiness of the parts: every half minute."""


class Watch:
    """Of one server process."""

    def __init__(
        self,
        *,
        body_memory: BodyMemory,
        photo_workers: SandboxedPhotoProcessor,
        check_readiness: CheckReadiness,
        work: UnitOfWork,
        clock: Clock,
        database_clock: DatabaseClock,
        accounts: AccountMeter,
    ) -> None:
        self._body_memory = body_memory
        self._photo_workers = photo_workers
        self._check_readiness = check_readiness
        self._work = work
        self._clock = clock
        self._database_clock = database_clock
        self._accounts = accounts
        self._restarts = self._misbehaved = 0
        self._failing: frozenset[str] = frozenset()

    async def keep(self) -> None:
        """Never ends, whatever happens."""
        while True:
            await self.look_around()
            for _ in range(ROUNDS_PER_LOOK):
                self.look_inside()
                await asyncio.sleep(EVERY_SECONDS)

    def look_inside(self) -> None:
        """At this process."""
        workers = self._photo_workers
        metrics.UPLOADS_IN_HAND.set(self._body_memory.bodies)
        metrics.UPLOAD_MEMORY_BYTES.set(self._body_memory.held_bytes)
        metrics.UPLOAD_MEMORY_LIMIT_BYTES.set(self._body_memory.max_bytes)
        metrics.PHOTOS_QUEUED.set(workers.queued)
        metrics.PHOTO_WORKERS_BUSY.set(workers.busy)
        metrics.PHOTO_WORKERS_ALIVE.set(workers.workers_alive)
        metrics.PHOTO_WORKERS_WANTED.set(workers.workers)
        metrics.PHOTO_WORKER_RESTARTS.inc(workers.restarts - self._restarts)
        metrics.PHOTOS_MISBEHAVED.inc(workers.misbehaved - self._misbehaved)
        self._restarts, self._misbehaved = workers.restarts, workers.misbehaved

    async def look_around(self) -> None:
        """At what all processes share."""
        self._accounts.conclude()
        failing = (await self._check_readiness.execute()).failing
        for part in self._check_readiness.parts:
            metrics.PART_READY.labels(part).set(part not in failing)
        if failing != self._failing:
            log.warning("readiness_changed", failing=sorted(failing))
            self._failing = failing
        try:
            async with self._work.read() as repositories:
                overdue = await repositories.images.overdue(self._clock.now())
                open_erasures = await repositories.erasures.count_open()
                longest_wait = await repositories.generations.longest_wait(self._clock.now())
                credits_in_all = await repositories.accounts.credits_in_all()
            metrics.CLOCK_SKEW_SECONDS.set(await self._clock_skew())
        except Overloaded:
            return  # `tryon_part_ready` says so, and old figures are better than invented ones
        metrics.EXPIRED_IMAGES.set(overdue.images)
        metrics.OLDEST_EXPIRED_SECONDS.set(overdue.oldest.total_seconds())
        metrics.OPEN_ERASURES.set(open_erasures)
        metrics.LONGEST_WAITING_GENERATION_SECONDS.set(longest_wait.total_seconds())
        metrics.CREDITS_LEFT.set(credits_in_all.left)
        metrics.ACCOUNTS_WITHOUT_CREDITS.set(credits_in_all.spent)

    async def _clock_skew(self) -> float:
        """Seconds; a database that answers slowly makes it uncertain by half of what it took. Raises: Overloaded."""
        before = self._clock.now()
        theirs = await self._database_clock.now()
        return ((before - theirs) + (self._clock.now() - theirs)).total_seconds() / 2
