"""The Litestar application: routes, what is injected into them, and what runs beside them."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from litestar import Litestar, Router
from litestar.di import Provide

from entrypoints.http import credits as credits_of
from entrypoints.http import customers, health, images, metrics, previews, products, try_on, upload_tickets
from entrypoints.http.api_key import key_check
from entrypoints.http.api_reference import reference_router
from entrypoints.http.edge import Edge, HeadAsGet
from entrypoints.http.errors import to_error_response
from entrypoints.http.observation import ObservedRequests, line_writer
from entrypoints.http.playground_page import playground_router
from entrypoints.http.service import Service
from entrypoints.http.upload_form import FRAMING_BYTES
from entrypoints.http.upload_tickets import CrossOrigin
from entrypoints.server.background import generating, purging
from entrypoints.server.watching import Watch
from entrypoints.wiring.container import Container


def create_app(container: Container) -> Litestar:
    """An application on the container's adapters."""
    settings = container.settings()
    service = Service.of(container)
    api = Router(
        "/tryon/v1",
        route_handlers=[
            images.upload_image,
            images.check_image,
            images.read_image,
            images.delete_image,
            customers.erase,
            customers.erase_customer,
            try_on.read_generation,
            try_on.list_generations,
            products.list_products,
            products.read_product,
            products.delete_product,
            credits_of.read_credits,
            upload_tickets.create_upload_ticket,
            Router(
                "/",
                route_handlers=[try_on.start_try_on, try_on.try_on, products.register_product],
                request_max_body_size=try_on.MAX_FILES_AT_ONCE * settings.max_file_bytes + FRAMING_BYTES,
            ),
        ],
        middleware=[key_check(service.authenticate, service.upload_tickets, container.limit_rate())],
    )
    pages = [playground_router(settings)] if settings.shows_playground else []
    link_routes = [previews.read_preview] if settings.serves_previews else []
    metrics_routes = [metrics.metrics] if settings.serves_metrics else []
    app = Litestar(
        route_handlers=[
            api,
            *link_routes,
            health.live,
            health.ready,
            *metrics_routes,
            reference_router(settings),
            *pages,
        ],
        dependencies={"service": Provide(lambda: service, sync_to_thread=False)},
        exception_handlers={Exception: to_error_response},
        lifespan=[_running(container, service)],
        openapi_config=None,
        request_max_body_size=settings.max_file_bytes + FRAMING_BYTES,
        logging_config=None,
    )
    observers = [*container.telemetry().observers, line_writer()]
    app.asgi_handler = Edge(
        ObservedRequests(CrossOrigin(HeadAsGet(app.asgi_handler), settings.cors_origins), observers)
    )
    return app


def _running(container: Container, service: Service) -> Callable[[Litestar], Any]:
    @asynccontextmanager
    async def lifespan(_app: Litestar) -> AsyncIterator[None]:
        processor = container.processor()
        await processor.start()
        service.draining.listen()
        watch = Watch(
            body_memory=service.body_memory,
            photo_workers=container.photo_workers(),
            check_readiness=service.check_readiness,
            work=container.work(),
            clock=container.clock(),
            database_clock=container.database_clock(),
            accounts=container.account_meter(),
        )
        try:
            async with asyncio.TaskGroup() as background:
                settings = service.settings
                crew = [generating(container.run_next_generation()) for _ in range(settings.generations_at_once)]
                work = (purging(container.purge_overdue(), settings), watch.keep(), *crew)
                tasks = [background.create_task(task) for task in work]
                yield
                for task in tasks:
                    task.cancel()
        finally:
            await container.try_on_engine().close()
            await processor.close()
            await container.engine().dispose()
            await asyncio.to_thread(container.telemetry().close)

    return lifespan
