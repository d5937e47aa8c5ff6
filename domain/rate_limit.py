"""The rate at which an account may ask: the arithmetic of a token bucket, on one number.

The generic cell rate algorithm (ITU-T I.371): instead of counting tokens, remember the instant at which the bucket will
be full again. Every request moves it on by what one request costs; one that would move it past a whole window from now
is refused. Instants are microseconds of Unix time, so that every database compares them exactly.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

_MICROSECOND: Final = timedelta(microseconds=1)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class RateLimit:
    """So many requests in a window: all at once after a pause, or evenly."""

    requests: int
    window: timedelta = timedelta(minutes=1)

    def __post_init__(self) -> None:
        if self.requests < 1:
            raise ValueError(f"a limit allows at least one request, got {self.requests}")

    @property
    def window_us(self) -> int:
        return self.window // _MICROSECOND

    @property
    def cost_us(self) -> int:
        """How much later one request makes the bucket full; rounded up, so that a window never admits one too many."""
        return -(-self.window_us // self.requests)

    def admits(self, full_at_us: int, now_us: int) -> bool:
        """Whether a bucket that will be full at `full_at_us` holds a request now."""
        return self.after(full_at_us, now_us) <= now_us + self.requests * self.cost_us

    def after(self, full_at_us: int, now_us: int) -> int:
        """When it will be full once it has admitted one more."""
        return max(full_at_us, now_us) + self.cost_us

    def allowance(self, full_at_us: int, now_us: int, *, is_granted: bool) -> "Allowance":
        """What is left; `full_at_us` as it is after the request."""
        waiting_us = max(0, full_at_us - now_us)
        remaining = max(0, self.requests - -(-waiting_us // self.cost_us))
        next_us = waiting_us - (self.requests - 1) * self.cost_us
        return Allowance(
            limit=self,
            is_granted=is_granted,
            remaining=remaining,
            full_after=timedelta(microseconds=waiting_us),
            next_after=timedelta(microseconds=max(0, next_us)),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowance:
    """The answer to one request; `next_after`: how long until another would be granted."""

    limit: RateLimit
    is_granted: bool
    remaining: int
    full_after: timedelta
    next_after: timedelta


def microseconds(instant: datetime) -> int:
    """Microseconds of Unix time of an aware instant, exactly: a float of them has lost the last digits."""
    return (instant - _EPOCH) // _MICROSECOND
