"""The pool of workers: every photo goes to one of a few sandboxed processes, and whatever it does there, stays there.

Each worker has a socket of its own and one photo at a time, so that a death concerns one photo only, nobody waits for a
lock that a dead process holds, and a worker never sees a photo that was not meant for it.
"""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Final

import structlog

from adapters.sandbox.file_access import landlock_version
from adapters.sandbox.fork_server_client import (
    ForkServerClient,
    Photo,
    WorkerConnection,
    WorkerDied,
    WorkerStartFailed,
)
from adapters.sandbox.job_line import JobLine
from adapters.sandbox.messages import (
    Broken,
    Invalid,
    OutOfMemory,
    Prepared,
    Reply,
    TooLarge,
    Unsupported,
)
from adapters.sandbox.worker import PhotoPreparerFactory, Workplace
from application.ports.photos import PhotoProcessor, PreparedPhoto
from application.request_trace import StageSpan, record
from domain.errors import ImageTooLarge, InvalidImage, Overloaded, UnsupportedImageFormat

log = structlog.get_logger()

_FIRST_PAUSE_SECONDS: Final = 0.1  # before the next try to start a worker; doubles up to the last
_LAST_PAUSE_SECONDS: Final = 5.0
_FROM_OUTSIDE: Final = (-9, -15, None)  # SIGKILL (the kernel's OOM killer too), SIGTERM, or the fork server died
_TOO_SLOW: Final = "The photo takes too long to read. Send it again as a plain JPEG."
_TOO_HUNGRY: Final = "The photo needs too much memory to read. Send it again as a plain JPEG."


@dataclass(frozen=True, slots=True)
class WorkerLimits:
    """What one worker and one photo may use."""

    photo_seconds: float = 10.0  # from the hand-over to the reply; waiting for a worker does not count
    photo_memory_bytes: int = 1_250_000_000  # address space above that of a warm worker; a 64 MP WebP takes 1 GB
    resident_bytes: int = 400_000_000  # a worker above it after a photo is replaced: what it holds is not given back
    photos_per_worker: int = 250  # then it is replaced: bounds what leaks, and how long a taken-over one stays
    max_reply_bytes: int = 13_000_000  # 2000 x 2000 pixels of 3 bytes: more than a JPEG of them needs
    start_seconds: float = 30.0  # imports, models and the first detection on a busy machine


@dataclass(eq=False, slots=True)
class _Job:
    photo: Photo
    crop: bool
    done: asyncio.Future[PreparedPhoto]
    begun: bool = False
    deaths: int = 0
    queued_ns: int = field(default_factory=time.monotonic_ns)
    stages: list[StageSpan] = field(default_factory=list)

    def fail(self, error: Exception) -> None:
        if not self.done.done():
            self.done.set_exception(error)

    def end_of_queue(self) -> None:
        now = time.monotonic_ns()
        self.stages.append(StageSpan("queue", self.queued_ns, now, now - self.queued_ns))


class _Next(Enum):
    """What becomes of a worker and its photo."""

    KEEP = auto()
    REPLACE = auto()
    REPLACE_AND_TRY_AGAIN = auto()


@dataclass(eq=False)
class WorkerPool(PhotoProcessor):
    """Workers that build a `PhotoPreparer` with `factory` (see `Workplace`) and prepare photos with it.

    At most `max_queued` photos wait while all workers are busy. `readable_paths` (the models) is all of the file system
    that a worker may read besides code. Without a seccomp filter the pool does not start unless `allow_unsandboxed`.
    `cores`, one for each worker, are where they stay; without it the kernel moves them about.
    """

    factory: PhotoPreparerFactory
    workers: int
    max_queued: int
    readable_paths: tuple[str, ...] = ()
    allow_unsandboxed: bool = False
    limits: WorkerLimits = field(default_factory=WorkerLimits)
    cores: Sequence[int] | None = None

    def __post_init__(self) -> None:
        self.workers_alive = 0
        self.restarts = 0
        self.queued = 0
        self.busy = 0
        self._open = False
        self._out_of_order = False
        self._jobs: JobLine[_Job] = JobLine()
        self._unanswered: set[_Job] = set()
        self._slots: list[asyncio.Task[None]] = []
        workplace = Workplace(self.factory, self.readable_paths, self.limits.photo_memory_bytes, self.allow_unsandboxed)
        self._fork_server = ForkServerClient(workplace, start_seconds=self.limits.start_seconds)

    @property
    def fork_server_process_id(self) -> int | None:
        return self._fork_server.process_id

    @property
    def is_open(self) -> bool:
        """Whether it was started and not closed yet."""
        return self._open

    def launch(self) -> None:
        """Let the libraries load that workers need, while whoever calls this goes on; `start` waits for them.

        Raises: OSError: no process or descriptor left.
        """
        self._fork_server.launch()

    async def start(self) -> None:
        """Return when every worker has loaded its libraries and models. Raises: WorkerStartFailed, with the reason."""
        cores: Sequence[int | None] = self.cores or [None] * self.workers
        hirings = [asyncio.create_task(self._fork_server.hire(core)) for core in cores]
        try:
            crew = await asyncio.gather(*hirings)
        except BaseException:
            for hiring in hirings:
                hiring.cancel()
            await asyncio.gather(*hirings, return_exceptions=True)
            await self._fork_server.close()
            raise
        log.info("photo_workers_ready", workers=self.workers, landlock_version=landlock_version())
        if not self._fork_server.sandboxed:
            log.error("photo_workers_unsandboxed", danger="a malicious photo may reach the network and other processes")
        self._open = True
        self.workers_alive = len(crew)
        self._slots = [asyncio.create_task(self._keep_slot(*slot)) for slot in zip(crew, cores, strict=True)]

    async def close(self, *, grace_seconds: float = 10.0) -> None:
        """Refuse new photos, give those in work `grace_seconds` to finish, and end all processes."""
        self._open = False
        self._refuse_waiting()
        if self._unanswered:
            await asyncio.wait([job.done for job in self._unanswered], timeout=grace_seconds)
        for slot in self._slots:
            slot.cancel()
        await asyncio.gather(*self._slots, return_exceptions=True)
        self._slots.clear()
        self.workers_alive = 0
        for job in self._unanswered:
            job.fail(Overloaded())
        await self._fork_server.close()

    async def prepare(self, photo: bytes | bytearray | memoryview, *, crop: bool) -> PreparedPhoto:
        """Raises: UnsupportedImageFormat, InvalidImage, ImageTooLarge; Overloaded when the fault is ours.

        A caller that gives up is forgotten: a waiting photo is dropped at once; a worker that is at it finishes first.
        """
        if not self._open or self._out_of_order or self.queued + self.busy >= self.workers + self.max_queued:
            raise Overloaded
        job = _Job(photo, crop, asyncio.get_running_loop().create_future())
        self._unanswered.add(job)
        job.done.add_done_callback(lambda _: self._unanswered.discard(job))
        self._jobs.put(job)
        self.queued += 1
        try:
            return await job.done
        except asyncio.CancelledError:
            job.photo = b""
            del photo  # the traceback, and with it this frame, lives on in the queue until the turn of the empty job
            if not job.begun:
                job.begun = True
                self.queued -= 1
            raise
        finally:
            record(job.stages)

    async def check(self) -> None:
        """Raises: Overloaded when no worker is there to take a photo."""
        if not self._open or self.workers_alive == 0:
            raise Overloaded

    async def _keep_slot(self, worker: WorkerConnection, core: int | None) -> None:
        """Keep one worker in work, and replace it when it is gone or worn."""
        again: _Job | None = None
        while True:
            try:
                again = await self._employ(worker, again)
            finally:
                self.workers_alive -= 1
                worker.dismiss()
            # Its memory is free before another one takes the same amount.
            await asyncio.wait((worker.exit_code,), timeout=_LAST_PAUSE_SECONDS)
            worker = await self._replace(again, core)
            self.workers_alive += 1
            self._out_of_order = False
            if again is not None and again.done.done():
                again = None

    async def _replace(self, again: _Job | None, core: int | None) -> WorkerConnection:
        pause = _FIRST_PAUSE_SECONDS
        failures = 0
        while True:
            try:
                worker = await self._fork_server.hire(core)
            except WorkerStartFailed as failure:
                failures += 1
                # The reason says it all; a traceback would only show the way here.
                log.error("photo_worker_start_failed", reason=str(failure))  # noqa: TRY400
                if failures > 1:  # once may be the kernel that ran out of memory, and passes
                    self._give_up_for_now(again)
                await asyncio.sleep(pause)
                pause = min(2 * pause, _LAST_PAUSE_SECONDS)
            else:
                self.restarts += 1
                return worker

    def _give_up_for_now(self, again: _Job | None) -> None:
        """Nobody waits for a worker that may not come, and nobody queues until there is one."""
        if again is not None:
            again.fail(Overloaded())
        if self.workers_alive == 0:
            self._out_of_order = True
            self._refuse_waiting()

    async def _employ(self, worker: WorkerConnection, first: _Job | None) -> _Job | None:
        """Give a worker photo after photo until it has to go; a photo that another one should try is returned."""
        job = first or await self._next_job(worker)
        while job is not None:
            self.busy += 1
            try:
                following = await self._prepare_on(worker, job)
            finally:
                self.busy -= 1
            if following is _Next.REPLACE_AND_TRY_AGAIN:
                return job
            if following is _Next.REPLACE or self._is_worn(worker):
                return None
            job = await self._next_job(worker)
        return None

    async def _next_job(self, worker: WorkerConnection) -> _Job | None:
        """The photo that has waited longest, or None when the worker died before there was one."""
        while True:
            turn = self._jobs.take()
            try:
                await asyncio.wait((turn, worker.exit_code), return_when=asyncio.FIRST_COMPLETED)
            finally:
                self._jobs.leave(turn)
            if not turn.done():
                log.warning("photo_worker_died", exit_code=worker.exit_code.result(), idle=True)
                return None
            job = turn.result()
            if not job.begun:
                job.begun = True
                self.queued -= 1
                job.end_of_queue()
                return job

    def _is_worn(self, worker: WorkerConnection) -> bool:
        return (
            worker.photos_begun >= self.limits.photos_per_worker or worker.resident_bytes > self.limits.resident_bytes
        )

    async def _prepare_on(self, worker: WorkerConnection, job: _Job) -> _Next:
        try:
            async with asyncio.timeout(self.limits.photo_seconds):
                reply = await worker.prepare(job.photo, crop=job.crop, max_reply_bytes=self.limits.max_reply_bytes)
        except TimeoutError:
            log.warning("photo_worker_timeout", limit_seconds=self.limits.photo_seconds)
            job.fail(InvalidImage(_TOO_SLOW))
            return _Next.REPLACE
        except WorkerDied as death:
            log.warning("photo_worker_died", exit_code=death.exit_code, idle=False)
            fault_is_ours = death.exit_code in _FROM_OUTSIDE
            return self._after_death(worker, job, Overloaded() if fault_is_ours else InvalidImage())
        return self._hand_back(worker, job, reply)

    def _hand_back(self, worker: WorkerConnection, job: _Job, reply: Reply) -> _Next:
        match reply:
            case Prepared(photo, stages):
                job.stages.extend(stages)
                if not job.done.done():
                    job.done.set_result(photo)
            case Unsupported():
                job.fail(UnsupportedImageFormat())
            case Invalid(message):
                job.fail(InvalidImage(message))
            case TooLarge(pixels, limit):
                job.fail(ImageTooLarge(pixels, limit))
            case OutOfMemory():
                return self._after_death(worker, job, InvalidImage(_TOO_HUNGRY))
            case Broken(error, where):
                log.error("photo_worker_error", error=error, where=where)
                job.fail(InvalidImage())
                return _Next.REPLACE
            case _:
                log.error("photo_worker_error", error=type(reply).__name__, where="protocol")
                job.fail(Overloaded())
                return _Next.REPLACE
        return _Next.KEEP

    def _after_death(self, worker: WorkerConnection, job: _Job, error: InvalidImage | Overloaded) -> _Next:
        """Whose fault was it? A photo is blamed only for what it did to a fresh worker.

        One that an earlier photo had damaged or filled, or that was killed from outside (the kernel kills whoever is
        large, not who is guilty), costs this photo a second try on a fresh worker, and only one.
        """
        job.deaths += 1
        was_fresh = worker.photos_begun == 1
        if job.done.done():
            return _Next.REPLACE  # its caller has given up
        if job.deaths == 1 and (isinstance(error, Overloaded) or not was_fresh):
            return _Next.REPLACE_AND_TRY_AGAIN
        job.fail(error)
        return _Next.REPLACE

    def _refuse_waiting(self) -> None:
        for job in self._jobs.drain():
            if not job.begun:
                job.begun = True
                self.queued -= 1
                job.fail(Overloaded())
