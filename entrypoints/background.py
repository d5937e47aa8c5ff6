"""What a server does by itself: purge what is overdue, again and again."""

import asyncio
from typing import Final

import structlog

from application.purge import PurgeOverdue
from domain.errors import Overloaded
from entrypoints.settings import Settings

log = structlog.get_logger()
LONGEST_PAUSE: Final = 15 * 60


async def purging(purge_overdue: PurgeOverdue, settings: Settings) -> None:
    """Never ends. After an outage the pause doubles, up to a quarter of an hour, until a purge goes through."""
    pause = float(settings.purge_interval_seconds)
    while True:
        try:
            report = await purge_overdue.execute()
        except Overloaded:
            report = None
        is_down = report is None or report.left_for_later > 0
        pause = min(pause * 2, LONGEST_PAUSE) if is_down else float(settings.purge_interval_seconds)
        if report is None:
            log.warning("purge_failed", code=Overloaded.code, next_in_seconds=pause)
        elif report.removed or report.left_for_later:
            log.info(
                "purged",
                expired=report.expired,
                interrupted=report.interrupted,
                removed=report.removed,
                left_for_later=report.left_for_later,
            )
        await asyncio.sleep(pause)
