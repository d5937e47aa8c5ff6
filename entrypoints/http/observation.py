"""Observation of every request: its id on the answer, one line in the log, the metrics, and a trace.

Route templates, never raw paths.
"""

import time
from collections.abc import Sequence
from typing import Final

import structlog
from litestar.types import ASGIApp, Message, Receive, Scope, Send
from litestar.types.asgi_types import ReceiveMessage

from application.request_trace import CLIENT_LEFT_STATUS, ObservedRequest, Observer, RequestTrace
from entrypoints.http.admission import rate_headers
from entrypoints.http.edge import REQUEST_ID, REQUEST_ID_HEADER, header, request_id
from entrypoints.http.errors import CLIENT_LEFT_CODE

NO_ROUTE: Final = "unmatched"
METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class ObservedRequests:
    """Around the framework's own handler, so that unknown routes and failures of the framework are seen too."""

    def __init__(self, app: ASGIApp, observers: Sequence[Observer]) -> None:
        self._app = app
        self._observers = observers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        started_ns = time.monotonic_ns()
        status: int | None = None
        received_bytes = sent_bytes = 0

        async def watched_receive() -> ReceiveMessage:
            nonlocal received_bytes
            message = await receive()
            if message["type"] == "http.request":
                received_bytes += len(message["body"])
            return message

        async def watched_send(message: Message) -> None:
            nonlocal status, sent_bytes
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], (REQUEST_ID_HEADER, sent_id.encode()), *rate_headers(scope)]
            elif message["type"] == "http.response.body":
                sent_bytes += len(message["body"])
            await send(message)

        sent_id = scope["state"][REQUEST_ID] = request_id(scope)
        with RequestTrace(sent_id) as kept:
            try:
                await self._app(scope, watched_receive, watched_send)
            finally:
                kept.facts |= {"received_bytes": received_bytes, "sent_bytes": sent_bytes}
                self._conclude(scope, status, started_ns, kept)

    def _conclude(self, scope: Scope, status: int | None, started_ns: int, kept: RequestTrace) -> None:
        code = scope["state"].get("error_code")
        method = str(scope.get("method"))
        is_unheard = status is None or code == CLIENT_LEFT_CODE
        request = ObservedRequest(
            method=method if method in METHODS else "other",
            route=scope.get("path_template", NO_ROUTE),
            operation=getattr(scope.get("route_handler"), "operation_id", None),
            status=CLIENT_LEFT_STATUS if is_unheard or status is None else status,
            code=CLIENT_LEFT_CODE if is_unheard else code,
            started_ns=started_ns,
            ended_ns=time.monotonic_ns(),
            traceparent=header(scope, b"traceparent") or None,
            trace=kept,
        )
        for observe in self._observers:
            observe(request)


def line_writer() -> Observer:
    """Writes the canonical line: everything that is worth knowing about a request, at once."""
    log = structlog.get_logger().bind()  # as the log is configured now; binding again for every line would cost as much

    def write_line(request: ObservedRequest) -> None:
        stages = request.trace.seconds_by_stage()
        log.info(
            "request",
            method=request.method,
            route=request.route,
            status=request.status,
            **({"code": request.code} if request.code else {}),
            duration_ms=_milliseconds(request.seconds),
            **({"stages_ms": {name: _milliseconds(seconds) for name, seconds in stages.items()}} if stages else {}),
            **request.trace.facts,
        )

    return write_line


def _milliseconds(seconds: float) -> float:
    return round(1000 * seconds, 1)
