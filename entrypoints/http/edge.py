"""Edge of the application, the same for every route: an id, HEAD as GET, no cache, refusals that are heard, a pace."""

import asyncio
import re
import secrets
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from litestar.types import ASGIApp, Message, Receive, Scope, Send
from litestar.types.asgi_types import HTTPResponseBodyEvent, ReceiveMessage

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

LINKS: Final = "/tryon/v1/previews/"
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
            message["headers"] = _complete(list(message["headers"]), self._scope["path"], message["status"])
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


def _complete(headers: Headers, path: str, status: int) -> Headers:
    """With what every answer has: links may be read by any page (they are capabilities), the rest is for its caller."""
    names = {name.lower() for name, _ in headers}
    if path.startswith(API) or status >= 400:
        if b"cache-control" not in names:
            headers.append((b"cache-control", b"no-store"))
        if b"x-content-type-options" not in names:
            headers.append((b"x-content-type-options", b"nosniff"))
    if path.startswith(LINKS):
        headers.append((b"access-control-allow-origin", b"*"))
    return [(name, _with_head(value) if name.lower() == b"allow" else value) for name, value in headers]


def _with_head(allow: bytes) -> bytes:
    methods = {method.strip() for method in allow.split(b",")}
    return b", ".join(sorted(methods | {b"HEAD"})) if b"GET" in methods else allow


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
