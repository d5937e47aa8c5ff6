"""The metrics on the main port, for a machine of one's own."""

import asyncio

from litestar import Response, get
from litestar.di import NamedDependency

from entrypoints.http.service import Service
from entrypoints.server.metrics_server import MEDIA_TYPE


@get("/metrics", operation_id="metrics")
async def metrics(service: NamedDependency[Service]) -> Response[bytes]:
    """In Prometheus' text format; see `Settings.serves_metrics` for when this route is there."""
    return Response(await asyncio.to_thread(service.metrics), media_type=MEDIA_TYPE)
