"""The service as its routes call it and as probes and scrapers see it: use cases, liveness, readiness, metrics."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, fields
from functools import partial
from typing import Any, Final, Self

from litestar import Response, get
from litestar.di import NamedDependency
from msgspec import json, structs

from application.authenticate import Authenticate, PagePass, UploadTickets
from application.check_readiness import PROBE_SECONDS, CheckReadiness
from application.delete_images import DeleteImage
from application.erase_customer import EraseCustomer, ReadErasure
from application.fair_shares import BodyMemory
from application.generations import AwaitGeneration, ReadGeneration
from application.products import DeleteProduct, ReadProducts, RegisterProduct
from application.read_image import OpenPreview, ReadImage
from application.start_try_on import StartTryOn
from application.upload_photo import CheckPhoto, UploadPhoto
from domain.customer import Pseudonyms
from domain.errors import InvalidApiKey, Overloaded
from entrypoints.http.admission import API_KEY_HEADER, WrongKeys
from entrypoints.http.edge import Pace
from entrypoints.http.errors import AnyRequest
from entrypoints.http.schemas import ReadinessBody
from entrypoints.server.metrics_server import MEDIA_TYPE, in_short, own_health_socket
from entrypoints.wiring.container import Container
from entrypoints.wiring.settings import Settings
from entrypoints.wiring.surroundings import Draining


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """The one dependency of every route: for two of them the framework would start a task each, on every request."""

    settings: Settings
    body_memory: BodyMemory
    draining: Draining
    authenticate: Authenticate
    check_photo: CheckPhoto
    upload_photo: UploadPhoto
    read_image: ReadImage
    delete_image: DeleteImage
    erase_customer: EraseCustomer
    read_erasure: ReadErasure
    open_preview: OpenPreview
    start_try_on: StartTryOn
    read_generation: ReadGeneration
    await_generation: AwaitGeneration
    wrong_keys: WrongKeys
    small_pieces: Pace
    register_product: RegisterProduct
    read_products: ReadProducts
    delete_product: DeleteProduct
    upload_tickets: UploadTickets
    check_readiness: CheckReadiness
    metrics: Callable[[], bytes]
    page_pass: PagePass | None
    pseudonyms: Pseudonyms

    @classmethod
    def of(cls, container: Container) -> Self:
        """Each field out of the provider of its name, but for what there is one of in each server process."""
        own: dict[str, Any] = {
            "draining": Draining(),
            "await_generation": AwaitGeneration(container.read_generation()),
            "wrong_keys": WrongKeys(),
            "small_pieces": Pace(),
            "metrics": container.telemetry().metrics,
        }
        names = {field.name for field in fields(cls)} - own.keys()
        return cls(**own, **{name: getattr(container, name)() for name in names})


LIVE: Final = {"status": "live"}
NOT_IN_THE_WAY: Final = frozenset({"engine", "clock"})
"""Parts without which every promise can be kept: try-ons wait, and nothing is purged before its time."""


@get("/health/live", operation_id="live", sync_to_thread=False)
def live() -> dict[str, str]:
    """The event loop turns."""
    return LIVE


@get("/health/ready", operation_id="ready")
async def ready(request: AnyRequest, service: NamedDependency[Service]) -> Response[ReadinessBody]:
    """What works. It fails only when nothing does, or the server is about to stop: a balancer would otherwise take
    look-ups and erasures from the shops for an outage of storage, on all replicas at once.

    Whoever sends a valid key is told what fails.
    """
    (body, failing, status), is_known = await asyncio.gather(_readiness(service), _has_a_key(request, service))
    return Response(structs.replace(body, failing=failing) if is_known else body, status_code=status)


async def _readiness(service: Service) -> tuple[ReadinessBody, list[str], int]:
    """What everybody may know, the parts that fail, and the status."""
    found = await service.check_readiness.execute()
    is_ready = bool(found.works) and not service.draining.reasons
    body = ReadinessBody(
        status="ready" if is_ready else "not ready",
        works=found.works,
        degraded=sorted(found.failing & NOT_IN_THE_WAY),
    )
    failing = sorted(found.failing - NOT_IN_THE_WAY | service.draining.reasons)
    return body, failing, 200 if is_ready else 503


@asynccontextmanager
async def health_beside(service: Service) -> AsyncIterator[None]:
    """Health on a socket of this process too, from where the port for metrics has it: on the way in through the main
    port a probe would wait behind strangers.
    """
    socket = own_health_socket()
    if socket is None:
        yield
        return
    with in_short(socket) as address:
        server = await asyncio.start_unix_server(partial(_answer_probe, service), address)
    try:
        yield
    finally:
        server.close()


async def _answer_probe(service: Service, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Only the supervisor gets to the folder, and it asks for one of two paths."""
    try:
        path = (await reader.readline()).split(b" ")[1]
        body, _, status = await _readiness(service) if path == b"/health/ready" else (LIVE, [], 200)
        content = json.encode(body)
        head = f"HTTP/1.0 {status} .\r\ncontent-type: application/json\r\ncontent-length: {len(content)}\r\n\r\n"
        writer.write(head.encode() + content)
        await writer.drain()
    except (OSError, IndexError):  # who asked has left
        return
    finally:
        writer.close()


@get("/metrics", operation_id="metrics")
async def metrics(service: NamedDependency[Service]) -> Response[bytes]:
    """In Prometheus' text format; see `Settings.serves_metrics` for when this route is there."""
    return Response(await asyncio.to_thread(service.metrics), media_type=MEDIA_TYPE)


async def _has_a_key(request: AnyRequest, service: Service) -> bool:
    key = request.headers.get(API_KEY_HEADER)
    if not key:
        return False
    try:
        async with asyncio.timeout(PROBE_SECONDS), service.wrong_keys.looked_up(key):
            await service.authenticate.execute(key)
    except (InvalidApiKey, Overloaded, TimeoutError):
        return False
    return True
