"""Answers for probes and scrapers: liveness, readiness, and metrics for a machine of one's own."""

import asyncio

from litestar import Response, get
from litestar.di import NamedDependency

from application.check_readiness import PROBE_SECONDS
from domain.errors import InvalidApiKey, Overloaded
from entrypoints.http.api_key import API_KEY_HEADER
from entrypoints.http.errors import AnyRequest
from entrypoints.http.schemas import LivenessBody, ReadinessBody
from entrypoints.http.service import Service
from entrypoints.server.metrics_server import MEDIA_TYPE

NOT_IN_THE_WAY = frozenset({"engine", "clock"})
"""Parts without which every promise can be kept: try-ons wait, and nothing is purged before its time."""


@get("/health/live", operation_id="live", sync_to_thread=False)
def live() -> LivenessBody:
    """The event loop turns."""
    return LivenessBody(status="live")


@get("/health/ready", operation_id="ready")
async def ready(request: AnyRequest, service: NamedDependency[Service]) -> Response[ReadinessBody]:
    """What works. It fails only when nothing does, or the server is about to stop: a balancer would otherwise take
    look-ups and erasures from the shops for an outage of storage, on all replicas at once.

    Whoever sends a valid key is told what fails.
    """
    found, is_known = await asyncio.gather(service.check_readiness.execute(), _has_a_key(request, service))
    is_ready = bool(found.works) and not service.draining.reasons
    failing = sorted(found.failing - NOT_IN_THE_WAY | service.draining.reasons)
    degraded = sorted(found.failing & NOT_IN_THE_WAY)
    body = ReadinessBody(
        status="ready" if is_ready else "not ready",
        works=found.works,
        failing=failing if is_known else [],
        degraded=degraded,
    )
    return Response(body, status_code=200 if is_ready else 503)


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
