"""What one request spent its time on: a journal that travels with it, also into threads and photo workers.

Times are nanoseconds of the monotonic clock, which all processes of a machine share.
"""

import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

StageName = Literal["read", "queue", "decode", "detect", "develop", "encode", "store", "database"]
Fact = str | int
Nanoseconds = Annotated[int, Meta(ge=0)]


class StageSpan(msgspec.Struct, frozen=True, array_like=True):
    """One stretch of one stage; `own_ns` is without the stages inside of it."""

    name: StageName
    started_ns: Nanoseconds
    ended_ns: Nanoseconds
    own_ns: Nanoseconds


class Journal:
    """Stages in the order of their ends, and facts for the log: sizes, formats and random ids, nothing of a person."""

    def __init__(self) -> None:
        self.stages: list[StageSpan] = []
        self.facts: dict[str, Fact] = {}

    def seconds_by_stage(self) -> dict[StageName, float]:
        """Each stage's own time; together no more than the whole unless stages ran side by side."""
        sums: dict[StageName, int] = defaultdict(int)
        for span in self.stages:
            sums[span.name] += span.own_ns
        return {name: own_ns / 1e9 for name, own_ns in sums.items()}


class _Inner:
    """What the stages inside an open stage took."""

    ns = 0


_journal: ContextVar[Journal | None] = ContextVar("journal", default=None)
_enclosing: ContextVar[_Inner | None] = ContextVar("enclosing", default=None)


@contextmanager
def journal() -> Iterator[Journal]:
    """Keep a journal of what happens in the block, and in tasks and threads that are started in it."""
    kept = Journal()
    token = _journal.set(kept)
    try:
        yield kept
    finally:
        _journal.reset(token)


@contextmanager
def stage(name: StageName) -> Iterator[None]:
    """Enter the block's duration in the journal, if one is kept."""
    kept = _journal.get()
    if kept is None:
        yield
        return
    enclosing, inner = _enclosing.get(), _Inner()
    token = _enclosing.set(inner)
    started = time.monotonic_ns()
    try:
        yield
    finally:
        ended = time.monotonic_ns()
        _enclosing.reset(token)
        if enclosing is not None:
            enclosing.ns += ended - started
        kept.stages.append(StageSpan(name, started, ended, max(0, ended - started - inner.ns)))


def record(stages: Iterable[StageSpan]) -> None:
    """Enter stages that somebody else measured."""
    if (kept := _journal.get()) is not None:
        kept.stages.extend(stages)


def note(**facts: Fact) -> None:
    """Enter facts; see `Journal`."""
    if (kept := _journal.get()) is not None:
        kept.facts.update(facts)
