"""Where jobs wait for workers, or workers for jobs."""

import asyncio
from collections import deque
from collections.abc import Iterator
from typing import Generic, TypeVar

Job = TypeVar("Job")


class JobLine(Generic[Job]):
    """Jobs are taken in the order in which they came; of the workers that wait the one that came last is served first.

    What it needs is still in the caches of a core then. An `asyncio.Queue` serves those who wait in turns.
    """

    def __init__(self) -> None:
        self._jobs: deque[Job] = deque()
        self._idle: list[asyncio.Future[Job]] = []

    def put(self, job: Job) -> None:
        if self._idle:
            self._idle.pop().set_result(job)
        else:
            self._jobs.append(job)

    def take(self) -> asyncio.Future[Job]:
        """The next job, now or later. Whoever does not want it any more says `leave`."""
        turn: asyncio.Future[Job] = asyncio.get_running_loop().create_future()
        if self._jobs:
            turn.set_result(self._jobs.popleft())
        else:
            self._idle.append(turn)
        return turn

    def leave(self, turn: asyncio.Future[Job]) -> None:
        """Stop waiting. No effect once there is a job."""
        if turn in self._idle:
            self._idle.remove(turn)

    def drain(self) -> Iterator[Job]:
        """Take all jobs that wait."""
        while self._jobs:
            yield self._jobs.popleft()
