"""Figures of what should be gone and is not."""

from datetime import timedelta

from prometheus_client import REGISTRY

from entrypoints.server.background import Watch
from tests.http.conftest import Service


def test_the_backlog_is_told_as_long_as_it_is_there(service: Service) -> None:
    async def look() -> tuple[float | None, float | None]:
        await Watch(service.container).look_around()
        return (
            REGISTRY.get_sample_value("tryon_expired_images"),
            REGISTRY.get_sample_value("tryon_oldest_expired_seconds"),
        )

    service.upload(keepForDays="1")
    service.clock.time += timedelta(days=1, seconds=90)
    assert service.run(look()) == (1, 90)
    service.run(service.container.purge_overdue().execute())
    assert service.run(look()) == (0, 0)
