"""Start of a request, as a proxy says that is trusted: by then its client had begun, however late it gets to us.

`X-Request-Start` is when the proxy wrote it, as Unix time: `t=` or nothing, then seconds (with a fraction: `$msec` of
nginx), milliseconds (Caddy) or microseconds, told apart by their digits. `X-Request-Time` is for how many seconds the
proxy had been reading the request by then, its body too where it collects bodies (`$request_time` of nginx).
"""

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Network, IPv6Network, ip_address
from typing import Final

from litestar.types import Scope

from application.ports.system import Clock
from application.request_trace import note
from domain.errors import BegunTooLongAgo

Networks = tuple[IPv4Network | IPv6Network, ...]
INSTANT: Final = re.compile(rb"(?:t=)?([0-9]{10}(?:\.[0-9]{1,9})?|[0-9]{13}|[0-9]{16})")
DURATION: Final = re.compile(rb"[0-9]{1,6}(?:\.[0-9]{1,9})?")
DIGITS_OF_SECONDS: Final = 10
"""From 2001 to 2286."""


class RequestStart:
    """Believes nobody but the proxies in `trusted`, and no start that is still to come."""

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
    """All of them: a proxy that adds instead of replacing lets the client's own stand; the earliest start counts."""
    return (value for header, value in scope["headers"] if header == name)


def _instant(value: bytes) -> datetime | None:
    found = INSTANT.fullmatch(value)
    if found is None:
        return None
    digits = found[1].partition(b".")[0]
    return datetime.fromtimestamp(float(found[1]) / 10 ** (len(digits) - DIGITS_OF_SECONDS), UTC)


def _longest(durations: Iterator[bytes]) -> timedelta:
    return timedelta(seconds=max((float(value) for value in durations if DURATION.fullmatch(value)), default=0.0))
