"""What a server does by itself: purge what is overdue, again and again."""

import asyncio
from dataclasses import asdict
from typing import Final

import structlog

from adapters.telemetry import metrics
from application.purge import PurgeOverdue
from entrypoints.settings import Settings

log = structlog.get_logger()
LONGEST_PAUSE: Final = 5 * 60


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
