"""Admission of a request, before a byte of its body is read: when it began, whose key it has, how often it asks."""

import asyncio
import hashlib
import math
import re
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, nullcontext
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Network, IPv6Network, ip_address
from typing import Any, Final, TypeAlias

from litestar import Request
from litestar.types import ASGIApp, Receive, Scope, Send

from application.audit import act_as
from application.authenticate import Access, Authenticate, UploadTickets
from application.fair_shares import LimitRate
from application.ports.system import Clock, RateBucket
from application.request_trace import note
from domain.account import Account, Allowance, KeyScope
from domain.errors import BegunTooLongAgo, InvalidApiKey, MissingApiKey, Overloaded, RateLimited
from entrypoints.http.edge import RATE_HEADERS, header

Networks = tuple[IPv4Network | IPv6Network, ...]
INSTANT: Final = re.compile(rb"(?:t=)?([0-9]{10}(?:\.[0-9]{1,9})?|[0-9]{13}|[0-9]{16})")
DURATION: Final = re.compile(rb"[0-9]{1,6}(?:\.[0-9]{1,9})?")
DIGITS_OF_SECONDS: Final = 10
"""From 2001 to 2286."""


class RequestStart:
    """Start of a request, as a proxy says: by then its client had begun, however late it gets to us.

    `X-Request-Start` is when the proxy wrote it, as Unix time: `t=` or nothing, then seconds (with a fraction: `$msec`
    of nginx), milliseconds (Caddy) or microseconds, told apart by their digits. `X-Request-Time` is for how many
    seconds the proxy had been reading the request by then, its body too where it collects bodies (`$request_time` of
    nginx). Nobody is believed but the proxies in `trusted`, and no start that is still to come.
    """

    def __init__(self, trusted: Networks, clock: Clock, longest_upload: timedelta) -> None:
        self._trusted = trusted
        self._clock = clock
        self._longest_upload = longest_upload

    def of(self, scope: Scope) -> datetime | None:
        """None when no trusted proxy says it. Raises: BegunTooLongAgo: erasures of that time are forgotten."""
        if not self._trusted or not self._is_trusted(scope["client"]):
            return None
        written = [instant for value in _values(scope, b"x-request-start") if (instant := _instant(value))]
        note(request_start="proxy" if written else "unknown")
        if not written:
            return None
        now = self._clock.now()
        began = min(*written, now) - _longest(_values(scope, b"x-request-time"))
        if began < now - self._longest_upload and scope.get("method") == "POST":
            raise BegunTooLongAgo
        return began

    def _is_trusted(self, client: tuple[str, int] | None) -> bool:
        try:
            address = ip_address(client[0] if client else "")
        except ValueError:
            return False
        address = getattr(address, "ipv4_mapped", None) or address
        return any(address in network for network in self._trusted)


def _values(scope: Scope, name: bytes) -> Iterator[bytes]:
    """All of them, also those that a proxy wrote into one line (RFC 9110, 5.3): one that adds instead of replacing lets
    the client's own stand. The earliest start counts.
    """
    return (part.strip() for header, value in scope["headers"] if header == name for part in value.split(b","))


def _instant(value: bytes) -> datetime | None:
    found = INSTANT.fullmatch(value)
    if found is None:
        return None
    digits = found[1].partition(b".")[0]
    return datetime.fromtimestamp(float(found[1]) / 10 ** (len(digits) - DIGITS_OF_SECONDS), UTC)


def _longest(durations: Iterator[bytes]) -> timedelta:
    return timedelta(seconds=max((float(value) for value in durations if DURATION.fullmatch(value)), default=0.0))


RequestWithKey: TypeAlias = Request[Account, Any, Any]
API_KEY_HEADER: Final = "x-api-key"
RATE_BUCKET: Final = "rate_bucket"
"""In a route's `opt`: which bucket its requests come out of."""
KEY_BUCKET: Final = "key"
SCOPE_OF: Final = {
    "uploadImage": KeyScope.UPLOAD,
    "checkImage": KeyScope.UPLOAD,
    "getImage": KeyScope.READ,
    "deleteImage": KeyScope.ERASE,
    "erase": KeyScope.ERASE,
    "eraseCustomer": KeyScope.ERASE,
    "getErasure": KeyScope.ERASE,
    "createUploadTicket": KeyScope.TICKETS,
    "startTryOn": KeyScope.TRY_ON,
    "tryOn": KeyScope.TRY_ON,
    "getGeneration": KeyScope.TRY_ON,
    "listGenerations": KeyScope.TRY_ON,
    "registerProduct": KeyScope.TRY_ON,
    "getProduct": KeyScope.TRY_ON,
    "listProducts": KeyScope.TRY_ON,
    "deleteProduct": KeyScope.TRY_ON,
    "getCredits": KeyScope.READ,
}
"""By operation. One that is not here is for keys that may do everything."""


TAKES_TICKETS: Final = "takes_tickets"
"""In a route's `opt`: an upload ticket does in place of a key."""
TICKET: Final = "ticket"
"""Key of the upload ticket in a request's state."""
TICKET_IN_HEADER: Final = re.compile(r"bearer +(tkt_.*)", re.IGNORECASE)
"""RFC 9110, 11.1: the scheme's case does not matter."""


REMEMBERED: Final = 10_000
WRONG_FOR_SECONDS: Final = 10.0
"""A key that was made a moment ago is heard of after that."""
RIGHT_FOR_SECONDS: Final = 600.0
STRANGERS_AT_ONCE: Final = 2
STRANGERS_WAIT_SECONDS: Final = 10.0
"""Longer only when the database does not answer: then whoever waits has to be told."""


class WrongKeys:
    """Wrong keys: refused again without the database, and looked up two at a time; `PacedAnswers` answers slowly.

    A key that was right lately never waits behind guesses, and nobody is refused for what others send from the same
    address: behind a proxy all have one. Of one server process. Keeps digests, never keys.
    """

    def __init__(
        self, seconds: Callable[[], float] = time.monotonic, wait_seconds: float = STRANGERS_WAIT_SECONDS
    ) -> None:
        self._seconds = seconds
        self._wait_seconds = wait_seconds
        self._wrong_until: OrderedDict[bytes, float] = OrderedDict()
        self._right_until: OrderedDict[bytes, float] = OrderedDict()
        self._strangers = asyncio.Semaphore(STRANGERS_AT_ONCE)

    @asynccontextmanager
    async def stranger(self) -> AsyncIterator[None]:
        """Around the look-up of somebody unknown, as holders of upload tickets are: a forged one looks like a real one
        until its key is known. Raises: Overloaded: too many wait for theirs.
        """
        try:
            async with asyncio.timeout(self._wait_seconds):
                await self._strangers.acquire()
        except TimeoutError:
            raise Overloaded(cause="queue") from None
        try:
            yield
        finally:
            self._strangers.release()

    @asynccontextmanager
    async def looked_up(self, key: str) -> AsyncIterator[None]:
        """Around the look-up of a key. Raises: InvalidApiKey: it was wrong a moment ago; Overloaded."""
        digest = hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()
        is_known = self._right_until.get(digest, 0.0) > self._seconds()
        async with nullcontext() if is_known else self.stranger():
            if self._wrong_until.get(digest, 0.0) > self._seconds():
                raise InvalidApiKey
            try:
                yield
            except InvalidApiKey:
                self._right_until.pop(digest, None)
                _remember(self._wrong_until, digest, self._seconds() + WRONG_FOR_SECONDS)
                raise
        _remember(self._right_until, digest, self._seconds() + RIGHT_FOR_SECONDS)


def _remember(where: OrderedDict[bytes, float], digest: bytes, until: float) -> None:
    where[digest] = until
    where.move_to_end(digest)
    if len(where) > REMEMBERED:
        where.popitem(last=False)


def key_check(
    authenticate: Authenticate,
    tickets: UploadTickets,
    limit_rate: LimitRate,
    wrong_keys: WrongKeys,
    request_start: RequestStart,
) -> Callable[[ASGIApp], ASGIApp]:
    """Middleware around every route of the API: inside of it `request.user` is the account of the request's key.

    Not a guard: before each guard the framework copies the route's handler, which takes longer than the check. It
    raises MissingApiKey, InvalidApiKey, RateLimited and Overloaded.
    """

    def around(app: ASGIApp) -> ASGIApp:
        async def checked(scope: Scope, receive: Receive, send: Send) -> None:
            if scope.get("method") != "OPTIONS":  # which methods there are is no secret; a browser asks without the key
                await admit(scope)
            await app(scope, receive, send)

        return checked

    async def access_of(scope: Scope) -> Access:
        key, authorization = header(scope, API_KEY_HEADER.encode()), header(scope, b"authorization")
        takes_tickets = scope["route_handler"].opt.get(TAKES_TICKETS, False)
        if not key and takes_tickets and (ticket := TICKET_IN_HEADER.fullmatch(authorization or "")):
            async with wrong_keys.stranger():
                account, scope["state"][TICKET] = await tickets.open(ticket[1])
            return Access(account)
        if not key:
            raise MissingApiKey(is_in_authorization=authorization is not None)
        async with wrong_keys.looked_up(key):
            return await authenticate.execute(key)

    async def admit(scope: Scope) -> None:
        access, handler = await access_of(scope), scope["route_handler"]
        act_as(f"key {access.key.key_id}" if access.key else "key of the settings, page or ticket")
        began_at = request_start.of(scope)
        scope["user"] = replace(access.account, request_began_at=began_at) if began_at else access.account
        note(account_id=access.account.account_id)
        access.expect(SCOPE_OF.get(str(getattr(handler, "operation_id", ""))))
        _count(scope, KEY_BUCKET, await limit_rate.of_key(access.key))
        bucket = handler.opt.get(RATE_BUCKET, RateBucket.REQUESTS)
        _count(scope, bucket, await limit_rate.execute(access.account, bucket))

    return around


def _count(scope: Scope, bucket: str, allowance: Allowance | None) -> None:
    """Raises: RateLimited. What is answered about rates is the last that was counted: `q` requests in `w` seconds, of
    which `r` are left, and all are there again in `t` (draft-ietf-httpapi-ratelimit-headers-10).
    """
    if allowance is None:
        return
    limit, remaining = allowance.limit, allowance.remaining
    window, full_after = _seconds(limit.WINDOW), _seconds(allowance.full_after)
    scope["state"][RATE_HEADERS] = (
        (b"ratelimit-policy", f'"{bucket}";q={limit.requests};w={window}'.encode()),
        (b"ratelimit", f'"{bucket}";r={remaining};t={full_after}'.encode()),
    )
    if not allowance.is_granted:
        raise RateLimited(limit.requests, _seconds(allowance.next_after))


def _seconds(time: timedelta) -> int:
    """Whole ones, rounded up: whoever waits as long as was said is not refused again."""
    return math.ceil(time.total_seconds())
