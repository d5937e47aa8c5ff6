"""Edge of the application, the same for every route: an id, HEAD as GET, no cache, refusals that are heard, a pace.

Every request is observed there too: for its line in the log, the metrics, and its trace.
"""

import asyncio
import re
import secrets
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final

import structlog
from litestar.types import ASGIApp, Message, Receive, Scope, Send
from litestar.types.asgi_types import HTTPResponseBodyEvent, ReceiveMessage

from application.request_trace import CLIENT_LEFT_STATUS, ObservedRequest, Observer, RequestTrace
from entrypoints.wiring.settings import PREVIEWS_PATH

MAX_DISCARDED_BYTES: Final = 64 * 1024 * 1024
MAX_DISCARD_SECONDS: Final = 10.0
"""As long a client that was answered may go on sending before its connection ends."""
PAUSE_SECONDS: Final = 2.0
"""Who sends nothing for so long has stopped, as curl does at the first sight of a refusal, and waits for its end."""
DISCARD_BYTES_PER_SECOND: Final = 16 * 1024 * 1024
"""No faster: what is thrown away for one client costs the others nothing to speak of."""
SMALL_SECONDS: Final = 0.001
"""Nor does a body cost more that comes in small pieces."""
MAX_HOLD_SECONDS: Final = 5.0
HOLD_PAUSE_SECONDS: Final = 0.3
"""As long an answer waits whole for the end of the body. nginx without request buffering may stop sending for good once
it has the head of an answer, and then closes a connection that it has promised to its client for the next request."""

LINKS: Final = f"{PREVIEWS_PATH}/"
API: Final = ("/tryon/", "/health/", "/metrics")
REQUEST_ID_HEADER = b"x-request-id"
REQUEST_ID = "request_id"
"""In the request's state: the id that its answer carries."""
SANE = re.compile(r"[A-Za-z0-9._-]{8,64}")
"""What may stand in a log line; anything else could carry a person's data or break the line."""
Headers = list[tuple[bytes, bytes]]


def header(scope: Scope, wanted: bytes) -> str | None:
    """The first of that name, which is in small letters."""
    return next((value.decode("latin-1") for name, value in scope["headers"] if name == wanted), None)


def request_id(scope: Scope) -> str:
    """The caller's own `x-request-id`, when it is a sane one, or a new one."""
    sent = header(scope, REQUEST_ID_HEADER) or ""
    return sent if SANE.fullmatch(sent) else "req_" + secrets.token_urlsafe(12)


class Edge:
    """Around everything else, so that what is read here after the answer is nobody's time."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        exchange = _Exchange(scope, receive, send)
        await self._app(scope, exchange.receive, exchange.send)
        await exchange.end()


class HeadAsGet:
    """`HEAD` is answered wherever `GET` is, by the same route and with the same headers."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope.get("method") != "HEAD":
            await self._app(scope, receive, send)
            return

        async def send_without_body(message: Message) -> None:
            if message["type"] == "http.response.body":
                message["body"] = b""
            await send(message)

        scope["method"] = "GET"  # type: ignore[typeddict-unknown-key]  # a union of which one has no method
        try:
            await self._app(scope, receive, send_without_body)
        finally:
            scope["method"] = "HEAD"  # type: ignore[typeddict-unknown-key]


class _Exchange:
    """One request and its answer.

    A server closes a connection with unread data, and many clients lose the answer then (Node's `fetch`, urllib). So
    what a client still sends is read and thrown away first. To one that goes on for long the answer is shown without
    its last byte, with which hyper would close.
    """

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._scope, self._receive, self._send = scope, receive, send
        self._is_unread = _has_body(scope)
        self._waits = any(name == b"expect" for name, _ in scope["headers"])
        """For `100 Continue`, which it is sent as soon as somebody reads: until then nothing comes."""
        self._held: list[Message] = []
        self._discarded_bytes = 0

    async def receive(self) -> ReceiveMessage:
        self._waits = False
        message = await self._receive()
        if message["type"] != "http.request" or not message.get("more_body", False):
            self._is_unread = False
        return message

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = _complete(list(message["headers"]), self._scope, message["status"])
        if self._is_unread and not self._waits:
            self._held.append(message)
        else:
            await self._release()
            await self._send(message)

    async def end(self) -> None:
        if not self._held:
            return
        await self._discard(MAX_HOLD_SECONDS, HOLD_PAUSE_SECONDS)
        last = self._held[-1]
        if self._is_unread and last["type"] == "http.response.body":
            end: HTTPResponseBodyEvent = {**last, "body": last["body"][-1:]}
            self._held[-1] = {**last, "body": last["body"][:-1], "more_body": True}
            await self._release()
            await self._discard(MAX_DISCARD_SECONDS - MAX_HOLD_SECONDS, PAUSE_SECONDS)
            self._held = [end]
        await self._release()

    async def _release(self) -> None:
        held, self._held = self._held, []
        for message in held:
            await self._send(message)

    async def _discard(self, seconds: float, pause_seconds: float) -> None:
        """Reads on, until the body ends or the client sends for too long, too much, or nothing."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while self._is_unread and self._discarded_bytes <= MAX_DISCARDED_BYTES:
                    async with asyncio.timeout(pause_seconds):
                        message = await self.receive()
                    size_bytes = len(message["body"]) if message["type"] == "http.request" else 0
                    self._discarded_bytes += size_bytes
                    await asyncio.sleep(max(size_bytes / DISCARD_BYTES_PER_SECOND, SMALL_SECONDS))


def _has_body(scope: Scope) -> bool:
    headers = dict(scope["headers"])
    return b"transfer-encoding" in headers or headers.get(b"content-length", b"0").strip() != b"0"


def _complete(headers: Headers, scope: Scope, status: int) -> Headers:
    """With what every answer has: links may be read by any page (they are capabilities), the rest is for its caller."""
    path, names = scope["path"], {name.lower() for name, _ in headers}
    if path.startswith(API) or status >= 400:
        if b"cache-control" not in names:
            headers.append((b"cache-control", b"no-store"))
        if b"x-content-type-options" not in names:
            headers.append((b"x-content-type-options", b"nosniff"))
    if path.startswith(LINKS):
        headers.append((b"access-control-allow-origin", b"*"))
    return [(name, _allowed(value, scope) if name.lower() == b"allow" else value) for name, value in headers]


def _allowed(allow: bytes, scope: Scope) -> bytes:
    """With `HEAD`, and with every method of the path: Litestar answers `OPTIONS` with those of its first handler."""
    methods = set(re.split(", *", allow.decode()))
    for route in scope["litestar_app"].routes:
        if route.path_format == scope.get("path_template"):
            methods.update(route.methods)
    return ", ".join(sorted(methods | {"HEAD"} if "GET" in methods else methods)).encode()


ACCOUNT_SECONDS: Final = 0.05
STRANGERS_SECONDS: Final = 0.005
"""Between two answers."""
LONGEST_WAIT_SECONDS: Final = 10.0
LONGEST_PROBE_SECONDS: Final = 0.5
"""Less than the second that Kubernetes gives a probe. `TRYON_METRICS_PORT` never waits."""
UNCOUNTED: Final = frozenset({"RATE_LIMITED", "FORBIDDEN"})
"""All else that an account is refused comes out of its rate."""
_SWEEP_AT: Final = 1000


class Pace:
    """When the next one of each kind may go on, the first at once."""

    def __init__(self, seconds: Callable[[], float] = time.monotonic) -> None:
        self._seconds = seconds
        self._next_at: dict[str, float] = {}

    async def wait(self, kind: str, between_seconds: float, longest_seconds: float = LONGEST_WAIT_SECONDS) -> None:
        """For this one's turn, but not for longer than the longest wait."""
        now = self._seconds()
        if len(self._next_at) >= _SWEEP_AT:
            self._next_at = {each: at for each, at in self._next_at.items() if at > now}
        turn_at = min(max(self._next_at.get(kind, now), now), now + longest_seconds)
        self._next_at[kind] = turn_at + between_seconds
        await asyncio.sleep(turn_at - now)


class PacedAnswers:
    """A pace for what comes out of no account's rate: a client in a loop asks again as soon as it is answered, and many
    such take the time of all others. One alone is answered at once; beyond the pace they wait, and their connections.

    Refusals: twenty a second of one account, two hundred of all strangers (wrong keys are). Preflights, pages and
    health need no key: each kind has a pace of its own. Pictures behind valid links have none: they are what shops are
    here for. Of one server process.
    """

    def __init__(self, app: ASGIApp, pace: Pace) -> None:
        self._app = app
        self._pace = pace

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def paced(message: Message) -> None:
            if message["type"] == "http.response.start":
                await self._wait(scope, message["status"])
            await send(message)

        await self._app(scope, receive, paced)

    async def _wait(self, scope: Scope, status: int) -> None:
        account = scope.get("user")
        if account is not None:
            if scope["state"].get("error_code") in UNCOUNTED:
                await self._pace.wait(f"refused {account.account_id}", ACCOUNT_SECONDS)
        elif scope["path"].startswith("/health/"):
            await self._pace.wait("health", STRANGERS_SECONDS, LONGEST_PROBE_SECONDS)
        elif 400 <= status < 500:
            await self._pace.wait("refused", STRANGERS_SECONDS)
        elif not scope["path"].startswith(LINKS):  # a picture would be held in memory while it waits
            await self._pace.wait("preflight" if scope.get("method") == "OPTIONS" else "page", STRANGERS_SECONDS)


CLIENT_LEFT_CODE: Final = "CLIENT_LEFT"
RATE_HEADERS: Final = "rate_headers"
"""In the request's state: those of the rate that it was counted under."""
NO_ROUTE: Final = "unmatched"
METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class ObservedRequests:
    """Around the framework's own handler, so that unknown routes and failures of the framework are seen too.

    Route templates, never raw paths.
    """

    def __init__(self, app: ASGIApp, observers: Sequence[Observer]) -> None:
        self._app = app
        self._observers = observers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        started_ns, state = time.monotonic_ns(), scope["state"]
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
                message["headers"] = [
                    *message["headers"],
                    (REQUEST_ID_HEADER, sent_id.encode()),
                    *state.get(RATE_HEADERS, ()),
                ]
            elif message["type"] == "http.response.body":
                sent_bytes += len(message["body"])
            await send(message)

        sent_id = state[REQUEST_ID] = request_id(scope)
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
