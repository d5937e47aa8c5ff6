"""The metrics on the main port, for a machine of one's own."""

import asyncio

from litestar import Response, get

from adapters.telemetry.metrics import exposition
from entrypoints.server.metrics_server import MEDIA_TYPE


@get("/metrics", operation_id="metrics", include_in_schema=False)
async def metrics() -> Response[bytes]:
    """In Prometheus' text format; see `Settings.serves_metrics` for when this route is there."""
    return Response(await asyncio.to_thread(exposition), media_type=MEDIA_TYPE)
