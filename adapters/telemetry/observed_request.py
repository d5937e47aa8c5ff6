"""One request, when it is over."""

import msgspec

from application.request_trace import RequestTrace

CLIENT_LEFT_STATUS = 499
"""Nobody waited for the answer; nginx' number for it."""


class ObservedRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Nothing in it is as the client wrote it, but for `traceparent`, which is parsed strictly.

    `route` is a template, `operation` the route's `operation_id`, `code` that of the error it was answered with. Times
    are nanoseconds of the monotonic clock.
    """

    method: str
    route: str
    operation: str | None
    status: int
    code: str | None
    started_ns: int
    ended_ns: int
    traceparent: str | None
    trace: RequestTrace

    @property
    def seconds(self) -> float:
        return (self.ended_ns - self.started_ns) / 1e9
