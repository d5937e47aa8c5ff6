"""Background jobs of a server: purge what is overdue, run generations that wait, set gauges that nobody counts."""

import asyncio
import os
import signal
import time
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Final

import structlog

from adapters.telemetry import metrics
from application.delete_images import PurgeOverdue
from application.generations import RunNextGeneration
from domain.errors import Overloaded
from entrypoints.server.logging import told
from entrypoints.wiring.settings import Settings

if TYPE_CHECKING:
    from entrypoints.wiring.container import Container

log = structlog.get_logger()
LONGEST_PAUSE: Final = 5 * 60
LOOK_EVERY_SECONDS: Final = 1.0
"""How often an idle worker asks for generations: one indexed look; clients poll every two seconds."""
LONGEST_GENERATION_PAUSE: Final = 30.0
FIRST_RESTART_SECONDS: Final = 1.0
LONGEST_RESTART_SECONDS: Final = 60.0


async def supervised(name: str, task: Callable[[], Awaitable[None]]) -> None:
    """Never ends: what a task raises, or its end, is logged; after a pause that doubles up to a minute it goes on."""
    pause = FIRST_RESTART_SECONDS
    while True:
        began = time.monotonic()
        try:
            await task()
        except Exception as error:
            log.error("background_task_failed", task=name, **told(error), next_in_seconds=pause)  # noqa: TRY400
        if time.monotonic() - began > LONGEST_RESTART_SECONDS:
            pause = FIRST_RESTART_SECONDS
        await asyncio.sleep(pause)
        pause = min(2 * pause, LONGEST_RESTART_SECONDS)


def end_process(task: "asyncio.Task[None]") -> None:
    """For a supervised task that ended although nobody stopped it: another process is started in place of this one,
    and a server that looks alive and is dead is worse than none. Requests in flight are finished.
    """
    log.critical("background_task_ended", task=task.get_name())
    os.kill(os.getpid(), signal.SIGTERM)


async def in_time(name: str, seconds: float, ending: Awaitable[object]) -> None:
    """Let something end, but not for ever: whatever is down, a process that is told to stop stops."""
    try:
        async with asyncio.timeout(seconds):
            await ending
    except Exception as error:
        log.error("not_ended_cleanly", part=name, **told(error))  # noqa: TRY400 - its text may quote a client


async def purging(purge_overdue: PurgeOverdue, settings: Settings) -> None:
    """Never ends, whatever happens. While nothing can be deleted the pause doubles, up to five minutes."""
    purge_overdue.time.jumps.trust()  # whoever starts a server has looked at the clock
    interval = float(settings.purge_interval_seconds)
    longest = max(interval, float(LONGEST_PAUSE))
    pause = interval
    while True:
        try:
            report = await purge_overdue.execute()
        except Exception as error:  # a purger that ended would take the whole server along
            pause = min(pause * 2, longest)
            cause = error.cause if isinstance(error, Overloaded) else "bug"
            log.warning("purge_failed", error_type=type(error).__name__, cause=cause, next_in_seconds=pause)
        else:
            pause = min(pause * 2, longest) if report.is_stuck else interval
            metrics.LAST_PURGE.set_to_current_time()
            metrics.PURGED_IMAGES.inc(report.removed)
            if report.removed or report.left_for_later:
                log.info("purged", **asdict(report), next_in_seconds=pause)
        await asyncio.sleep(pause)


async def generating(run_next: RunNextGeneration) -> None:
    """Never ends. Runs one generation after the other; several of these may run side by side, here and elsewhere."""
    pause = LOOK_EVERY_SECONDS
    while True:
        started_at = time.monotonic()
        try:
            outcome = await run_next.execute()
        except Overloaded:
            pause = min(pause * 2, LONGEST_GENERATION_PAUSE)
            log.warning("generations_paused", code=Overloaded.code, next_in_seconds=pause)
        except Exception as error:
            # A bug: the generation has failed, the next one may be fine.
            log.error("unhandled_error", **told(error))  # noqa: TRY400 - its text may quote what a client sent
        else:
            pause = LOOK_EVERY_SECONDS
            if outcome is not None:
                seconds = time.monotonic() - started_at
                metrics.observe_generation(outcome, seconds)
                log.info(
                    "generation_attempted",
                    generation_id=outcome.generation_id,
                    status=outcome.status,
                    attempts=outcome.attempts,
                    code=outcome.code,
                    seconds=round(seconds, 3),
                )
                continue
        await asyncio.sleep(pause)


WATCH_EVERY_SECONDS: Final = 5.0
ROUNDS_PER_LOOK: Final = 6
"""The database and the readiness of the parts: every half minute."""


@dataclass(slots=True)
class Watch:
    """Of one server process."""

    container: "Container"
    restarts: int = 0
    misbehaved: int = 0
    failing: frozenset[str] = frozenset()

    async def keep(self) -> None:
        """Never ends, whatever happens."""
        while True:
            await self.look_around()
            for _ in range(ROUNDS_PER_LOOK):
                self.look_inside()
                await asyncio.sleep(WATCH_EVERY_SECONDS)

    def look_inside(self) -> None:
        """At this process."""
        workers, memory = self.container.photo_workers(), self.container.body_memory()
        metrics.UPLOADS_IN_HAND.set(memory.bodies)
        metrics.UPLOAD_MEMORY_BYTES.set(memory.held_bytes)
        metrics.UPLOAD_MEMORY_LIMIT_BYTES.set(memory.max_bytes)
        metrics.PHOTOS_QUEUED.set(workers.queued)
        metrics.PHOTO_WORKERS_BUSY.set(workers.busy)
        metrics.PHOTO_WORKERS_ALIVE.set(workers.workers_alive)
        metrics.PHOTO_WORKERS_WANTED.set(workers.workers)
        metrics.PHOTO_WORKER_RESTARTS.inc(workers.restarts - self.restarts)
        metrics.PHOTOS_MISBEHAVED.inc(workers.misbehaved - self.misbehaved)
        self.restarts, self.misbehaved = workers.restarts, workers.misbehaved

    async def look_around(self) -> None:
        """At what all processes share."""
        self.container.account_meter().conclude()
        check_readiness, clock = self.container.check_readiness(), self.container.clock()
        failing = (await check_readiness.execute()).failing
        for part in check_readiness.parts:
            metrics.PART_READY.labels(part).set(part not in failing)
        if failing != self.failing:
            log.warning("readiness_changed", failing=sorted(failing))
            self.failing = failing
        try:
            async with self.container.work().read() as repositories:
                overdue = await repositories.images.overdue(clock.now())
                open_erasures = await repositories.erasures.count_open()
                longest_wait = await repositories.generations.longest_wait(clock.now())
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
        clock = self.container.clock()
        before = clock.now()
        theirs = await self.container.database_clock().now()
        return ((before - theirs) + (clock.now() - theirs)).total_seconds() / 2
