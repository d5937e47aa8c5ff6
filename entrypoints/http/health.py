"""Whether the process lives, and whether it should be sent requests."""

from litestar import Response, get
from litestar.di import NamedDependency
from msgspec import UNSET

from application.check_readiness import CheckReadiness
from entrypoints.http.reference_operations import LiveOperation, ReadyOperation
from entrypoints.http.schemas import LivenessBody, ReadinessBody


@get("/health/live", operation_id="live", operation_class=LiveOperation, sync_to_thread=False)
def live() -> LivenessBody:
    """The event loop turns."""
    return LivenessBody(status="live")


@get("/health/ready", operation_id="ready", operation_class=ReadyOperation)
async def ready(
    check_readiness: NamedDependency[CheckReadiness], check_engine: NamedDependency[CheckReadiness]
) -> Response[ReadinessBody]:
    """Database, schema, storage and photo workers are there.

    A try-on engine that needs its operator is reported, too, but uploads go on without it.
    """
    failing = await check_readiness.execute()
    if failing:
        return Response(ReadinessBody(status="not ready", failing=sorted(failing)), status_code=503)
    degraded = await check_engine.execute()
    return Response(ReadinessBody(status="ready", degraded=sorted(degraded) if degraded else UNSET))
