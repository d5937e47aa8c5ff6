"""The trace of one request: its stages and their times. It travels along, also into threads.

Times are nanoseconds of the monotonic clock.
"""

import time
from collections import defaultdict
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Literal, NamedTuple, Self

StageName = Literal["read", "queue", "decode", "detect", "encode", "store", "database"]
Fact = str | int


class StageSpan(NamedTuple):
    """One stretch of one stage; `own_ns` is without the stages inside of it."""

    name: StageName
    started_ns: int
    ended_ns: int
    own_ns: int


class RequestTrace:
    """Stages in the order of their ends, and facts for the log: sizes, formats and random ids, nothing of a person.

    A context manager: it is kept of what happens in the block, and in tasks and threads that are started in it.
    `request_id` names the request in the log, and nowhere else: a client may have chosen it.
    """

    __slots__ = ("_token", "facts", "request_id", "stages")

    def __init__(self, request_id: str | None = None) -> None:
        self.request_id = request_id
        self.stages: list[StageSpan] = []
        self.facts: dict[str, Fact] = {}

    def __enter__(self) -> Self:
        self._token = _trace.set(self)
        return self

    def __exit__(self, *_: object) -> None:
        _trace.reset(self._token)

    def seconds_by_stage(self) -> dict[StageName, float]:
        """Each stage's own time; together no more than the whole unless stages ran side by side."""
        sums: dict[StageName, int] = defaultdict(int)
        for span in self.stages:
            sums[span.name] += span.own_ns
        return {name: own_ns / 1e9 for name, own_ns in sums.items()}


class Stage:
    """A context manager that enters the block's duration in the trace, if one is kept.

    A class with slots, here and in `RequestTrace`: a generator would cost three times as much, several times a request.
    """

    __slots__ = ("_enclosing", "_inner_ns", "_name", "_started_ns", "_token")

    def __init__(self, name: StageName) -> None:
        self._name: StageName = name
        self._inner_ns = 0

    def __enter__(self) -> None:
        self._enclosing = _open_stage.get()
        self._token = _open_stage.set(self)
        self._started_ns = time.monotonic_ns()

    def __exit__(self, *_: object) -> None:
        ended_ns = time.monotonic_ns()
        _open_stage.reset(self._token)
        took_ns = ended_ns - self._started_ns
        if self._enclosing is not None:
            self._enclosing._inner_ns += took_ns
        if (kept := _trace.get()) is not None:
            kept.stages.append(StageSpan(self._name, self._started_ns, ended_ns, max(0, took_ns - self._inner_ns)))


_trace: ContextVar[RequestTrace | None] = ContextVar("trace", default=None)
_open_stage: ContextVar[Stage | None] = ContextVar("open_stage", default=None)


def note(**facts: Fact) -> None:
    """Enter facts; see `RequestTrace`."""
    if (kept := _trace.get()) is not None:
        kept.facts.update(facts)


def current_request_id() -> str | None:
    """The name of the request of which a trace is kept now."""
    return kept.request_id if (kept := _trace.get()) is not None else None


CLIENT_LEFT_STATUS = 499
"""Nobody waited for the answer; nginx' number for it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ObservedRequest:
    """One request, when it is over. Nothing in it is as the client wrote it, but for `traceparent`, which is parsed
    strictly.

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


Observer = Callable[[ObservedRequest], None]
"""Is told of every request: metrics, traces, the log."""
