"""Figures of what should be gone and is not."""

from datetime import timedelta

from prometheus_client import REGISTRY

from application.fair_shares import BodyMemory
from entrypoints.server.background import Watch
from tests.http.conftest import Service


def test_the_backlog_is_told_as_long_as_it_is_there(service: Service) -> None:
    async def look() -> tuple[float | None, float | None]:
        await Watch(
            body_memory=BodyMemory(1, 1),
            photo_workers=service.container.photo_workers(),
            check_readiness=service.container.check_readiness(),
            work=service.work,
            clock=service.clock,
            database_clock=service.container.database_clock(),
            accounts=service.container.account_meter(),
        ).look_around()
        return (
            REGISTRY.get_sample_value("tryon_expired_images"),
            REGISTRY.get_sample_value("tryon_oldest_expired_seconds"),
        )

    service.upload(keepForDays="1")
    service.clock.time += timedelta(days=1, seconds=90)
    assert service.run(look()) == (1, 90)
    service.run(service.container.purge_overdue().execute())
    assert service.run(look()) == (0, 0)
