"""The Litestar application: routes, what is injected into them, and what runs beside them."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any, Final

from litestar import Litestar, Router
from litestar.di import Provide

from entrypoints.http import erasures, images, try_on
from entrypoints.http.admission import RequestStart, key_check
from entrypoints.http.edge import Edge, HeadAsGet, ObservedRequests, Pace, PacedAnswers, line_writer
from entrypoints.http.errors import to_error_response
from entrypoints.http.pages import playground_router, reference_router
from entrypoints.http.service import Service, health_beside, live, metrics, ready
from entrypoints.server.background import Watch, end_process, generating, in_time, purging, supervised
from entrypoints.wiring.container import Container
from entrypoints.wiring.settings import API_PATH

BACKGROUND_SECONDS: Final = 3.0
PHOTO_SECONDS: Final = 12.0
CLOSE_SECONDS: Final = 2.0
"""How long each part may take to end; together less than the process is given (`SHUTDOWN_SECONDS`)."""


def create_app(container: Container) -> Litestar:
    """An application on the container's adapters."""
    settings = container.settings()
    service = Service.of(container)
    request_start = RequestStart(settings.trusted_networks, container.clock(), settings.longest_upload)
    api = Router(
        API_PATH,
        route_handlers=[
            images.upload_image,
            images.check_image,
            images.read_image,
            images.delete_image,
            erasures.erase,
            erasures.erase_customer,
            erasures.read_erasure,
            try_on.read_generation,
            try_on.list_generations,
            try_on.list_products,
            try_on.read_product,
            try_on.delete_product,
            try_on.read_credits,
            images.create_upload_ticket,
            Router(
                "/",
                route_handlers=[try_on.start_try_on, try_on.try_on, try_on.register_product],
                request_max_body_size=settings.largest_try_on_bytes,
            ),
        ],
        middleware=[
            key_check(
                service.authenticate, service.upload_tickets, container.limit_rate(), service.wrong_keys, request_start
            )
        ],
    )
    pages = [playground_router(settings)] if settings.shows_playground else []
    link_routes = [images.read_preview] if settings.serves_previews else []
    metrics_routes = [metrics] if settings.serves_metrics else []
    app = Litestar(
        route_handlers=[
            api,
            *link_routes,
            live,
            ready,
            *metrics_routes,
            reference_router(settings),
            *pages,
        ],
        dependencies={"service": Provide(lambda: service, sync_to_thread=False)},
        exception_handlers={Exception: to_error_response},
        lifespan=[_running(container, service)],
        openapi_config=None,
        request_max_body_size=settings.largest_upload_bytes,
        logging_config=None,
    )
    observers = [*container.telemetry().observers, line_writer()]
    app.asgi_handler = Edge(
        ObservedRequests(
            PacedAnswers(images.CrossOrigin(HeadAsGet(app.asgi_handler), settings.cors_origins), Pace()), observers
        )
    )
    return app


def _running(container: Container, service: Service) -> Callable[[Litestar], Any]:
    @asynccontextmanager
    async def lifespan(_app: Litestar) -> AsyncIterator[None]:
        processor = container.processor()
        await processor.start()
        service.draining.listen()
        watch = Watch(container)
        tasks = [
            asyncio.create_task(supervised(name, task), name=name)
            for name, task in _background(container, service, watch)
        ]
        is_stopping = False
        for task in tasks:
            task.add_done_callback(lambda task: None if is_stopping else end_process(task))
        try:
            async with health_beside(service):
                yield
        finally:
            is_stopping = True
            for task in tasks:
                task.cancel()
            await in_time("background", BACKGROUND_SECONDS, asyncio.gather(*tasks, return_exceptions=True))
            await in_time("engine", CLOSE_SECONDS, container.try_on_engine().close())
            await in_time("photo workers", PHOTO_SECONDS, processor.close())
            await in_time("database", CLOSE_SECONDS, container.engine().dispose())
            await in_time("telemetry", CLOSE_SECONDS, asyncio.to_thread(container.telemetry().close))

    return lifespan


def _background(
    container: Container, service: Service, watch: Watch
) -> Iterator[tuple[str, Callable[[], Awaitable[None]]]]:
    yield "purging", lambda: purging(container.purge_overdue(), service.settings)
    yield "watching", watch.keep
    for _ in range(service.settings.generations_at_once):
        yield "generating", lambda: generating(container.run_next_generation())
