"""What a server does by itself, again and again: purge what is overdue, run generations that wait."""

import asyncio
import time
import traceback
from dataclasses import asdict
from typing import Final

import structlog

from adapters.telemetry import metrics
from application.purge import PurgeOverdue
from application.run_generation import RunNextGeneration
from domain.errors import Overloaded
from entrypoints.wiring.settings import Settings

log = structlog.get_logger()
LONGEST_PAUSE: Final = 5 * 60
LOOK_EVERY_SECONDS: Final = 1.0
"""How often an idle worker asks for generations: one indexed look; clients poll every two seconds."""
LONGEST_GENERATION_PAUSE: Final = 30.0


async def purging(purge_overdue: PurgeOverdue, settings: Settings) -> None:
    """Never ends, whatever happens. While nothing can be deleted the pause doubles, up to five minutes."""
    interval = float(settings.purge_interval_seconds)
    longest = max(interval, float(LONGEST_PAUSE))
    pause = interval
    while True:
        try:
            report = await purge_overdue.execute()
        except Exception as error:  # a purger that ended would take the whole server along
            pause = min(pause * 2, longest)
            log.warning("purge_failed", error_type=type(error).__name__, next_in_seconds=pause)
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
            # A bug: the generation has failed, the next one may be fine. The text may quote what a client sent.
            places = [f"{place.name}:{place.lineno}" for place in traceback.extract_tb(error.__traceback__)[-8:]]
            log.error("unhandled_error", error_type=type(error).__name__, where=places)  # noqa: TRY400 - see above
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
