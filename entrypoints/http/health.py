"""Whether the process lives, and whether it should be sent requests."""

from typing import Any

from litestar import Response, get
from litestar.di import NamedDependency

from application.check_readiness import CheckReadiness


@get("/health/live", operation_id="live", sync_to_thread=False)
def live() -> dict[str, str]:
    """The event loop turns."""
    return {"status": "live"}


@get("/health/ready", operation_id="ready")
async def ready(
    check_readiness: NamedDependency[CheckReadiness], check_engine: NamedDependency[CheckReadiness]
) -> Response[dict[str, Any]]:
    """Database, schema, storage and photo workers are there.

    A try-on engine that needs its operator is reported, too, but uploads go on without it.
    """
    failing = await check_readiness.execute()
    if failing:
        return Response({"status": "not ready", "failing": sorted(failing)}, status_code=503)
    if degraded := await check_engine.execute():
        return Response({"status": "ready", "degraded": sorted(degraded)})
    return Response({"status": "ready"})
