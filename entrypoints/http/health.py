"""Whether the process lives, and whether it should be sent requests."""

from typing import Any

from litestar import Response, get
from litestar.di import NamedDependency

from application.authenticate import Authenticate
from application.check_readiness import CheckReadiness
from domain.errors import InvalidApiKey, MissingApiKey, Overloaded
from entrypoints.http.api_key import API_KEY_HEADER
from entrypoints.http.draining import Draining
from entrypoints.http.errors import AnyRequest


@get("/health/live", operation_id="live", sync_to_thread=False)
def live() -> dict[str, str]:
    """The event loop turns."""
    return {"status": "live"}


@get("/health/ready", operation_id="ready")
async def ready(
    request: AnyRequest,
    check_readiness: NamedDependency[CheckReadiness],
    authenticate: NamedDependency[Authenticate],
    draining: NamedDependency[Draining],
) -> Response[dict[str, Any]]:
    """Database, schema, storage and photo workers are there, and the server is not about to stop.

    Whoever sends a valid key is told which part fails.
    """
    failing = await check_readiness.execute()
    is_ready = not failing and not draining.has_begun
    body: dict[str, Any] = {"status": "ready" if is_ready else "not ready"}
    if await _has_a_key(request, authenticate):
        body["parts"] = {part: part not in failing for part in check_readiness.probes}
        body["draining"] = draining.has_begun
    return Response(body, status_code=200 if is_ready else 503)


async def _has_a_key(request: AnyRequest, authenticate: Authenticate) -> bool:
    try:
        await authenticate.execute(request.headers.get(API_KEY_HEADER))
    except (MissingApiKey, InvalidApiKey, Overloaded):
        return False
    return True
