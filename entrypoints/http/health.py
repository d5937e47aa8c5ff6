"""Answers for probes and scrapers: liveness, readiness, and metrics for a machine of one's own."""

import asyncio

from litestar import Response, get
from litestar.di import NamedDependency
from msgspec import UNSET

from application.authenticate import Authenticate
from domain.errors import InvalidApiKey, MissingApiKey, Overloaded
from entrypoints.http.api_key import API_KEY_HEADER
from entrypoints.http.errors import AnyRequest
from entrypoints.http.schemas import LivenessBody, ReadinessBody
from entrypoints.http.service import Service
from entrypoints.server.metrics_server import MEDIA_TYPE


@get("/health/live", operation_id="live", sync_to_thread=False)
def live() -> LivenessBody:
    """The event loop turns."""
    return LivenessBody(status="live")


@get("/health/ready", operation_id="ready")
async def ready(request: AnyRequest, service: NamedDependency[Service]) -> Response[ReadinessBody]:
    """Database, schema, storage and photo workers are there, and the server is not about to stop.

    Whoever sends a valid key is told what fails. A try-on engine that needs its operator is reported, too, but uploads
    go on without it.
    """
    failing = await service.check_readiness.execute() | service.draining.reasons
    if not failing:
        degraded = await service.check_engine.execute()
        return Response(ReadinessBody(status="ready", degraded=sorted(degraded) if degraded else UNSET))
    is_known = await _has_a_key(request, service.authenticate)
    body = ReadinessBody(status="not ready", failing=sorted(failing) if is_known else UNSET)
    return Response(body, status_code=503)


@get("/metrics", operation_id="metrics")
async def metrics(service: NamedDependency[Service]) -> Response[bytes]:
    """In Prometheus' text format; see `Settings.serves_metrics` for when this route is there."""
    return Response(await asyncio.to_thread(service.metrics), media_type=MEDIA_TYPE)


async def _has_a_key(request: AnyRequest, authenticate: Authenticate) -> bool:
    try:
        await authenticate.execute(request.headers.get(API_KEY_HEADER))
    except (MissingApiKey, InvalidApiKey, Overloaded):
        return False
    return True
