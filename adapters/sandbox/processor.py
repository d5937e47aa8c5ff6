"""The photo processor: every photo is decoded in a process of its own, and people are found in others.

The decisions (which person, which window, which warnings) are made in here, on numbers that were checked.
"""

import asyncio
import contextvars
import functools
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Final

import structlog

from adapters.sandbox import system
from adapters.sandbox.channel import Data
from adapters.sandbox.children import Children, StartFailed
from adapters.sandbox.detectors import Detectors
from adapters.sandbox.remote_photo import TRIES, Misbehaved, PhotoLimits, RemotePhoto, Unlucky
from adapters.sandbox.trades import DecodingTrade, DetectingTrade
from application.ports.photos import PhotoDecoder, PhotoProcessor, PreparedPhoto
from application.prepare_photo import PreparePhoto
from application.request_trace import Stage
from domain.cropping import Fit
from domain.errors import DomainError, Overloaded

log = structlog.get_logger()

_HEARTBEATS_SECONDS: Final = 2.0  # between two rounds of heartbeats


@dataclass(eq=False)
class SandboxedPhotoProcessor(PhotoProcessor):
    """At most `workers` photos and one are in work at once, and at most `max_queued` wait for their turn.

    The one is for whom nothing is in work, see `FairTurns`: its decoder runs beside the others, and its detector is the
    first one that is free.
    Without the sandbox nothing starts unless `allow_unsandboxed`. `cores`, one for each worker, are where the detectors
    stay.
    """

    decoding: DecodingTrade
    detecting: DetectingTrade
    workers: int
    max_queued: int
    max_edge: int
    allow_unsandboxed: bool = False
    limits: PhotoLimits = field(default_factory=PhotoLimits)
    cores: Sequence[int] | None = None

    def __post_init__(self) -> None:
        self.queued = 0
        self.busy = 0
        self.misbehaved = 0
        self._open = False
        self._was_closed = False
        self._starting = asyncio.Lock()
        self._at_once = self.workers + 1
        self._turns = asyncio.Semaphore(self._at_once)
        self._threads = ThreadPoolExecutor(self._at_once, "photo")
        self._keeper: asyncio.Task[None] | None = None
        self._working: set[asyncio.Future[PreparedPhoto]] = set()
        seconds, sandboxed = self.limits.start_seconds, not self.allow_unsandboxed or system.sandbox_problem() is None
        self._decoders = Children(self.decoding, system.DECODER_ENVIRONMENT, sandboxed, seconds)
        self._observers = Children(self.detecting, system.DETECTOR_ENVIRONMENT, sandboxed, seconds)
        self._detectors = Detectors(self._observers, self.workers, seconds, self.cores or ())
        self.sandboxed = sandboxed

    @property
    def workers_alive(self) -> int:
        return self._detectors.alive

    @property
    def restarts(self) -> int:
        """How many detectors were replaced."""
        return self._detectors.replaced

    def launch(self) -> None:
        """Let the libraries load, while whoever calls this goes on; `start` waits for them. Raises: StartFailed."""
        for family in self._families:
            family.launch()

    async def start(self) -> None:
        """Return when all processes have their libraries and models. Raises: StartFailed, with the reason."""
        async with self._starting:
            if not self._open:
                await self._start()

    async def _start(self) -> None:
        try:
            self.launch()
            parts = [asyncio.to_thread(self._decoders.check), asyncio.to_thread(self._detectors.fill)]
            for outcome in await asyncio.gather(*parts, return_exceptions=True):
                if isinstance(outcome, BaseException):
                    raise outcome
        except BaseException:
            await asyncio.to_thread(self._end_processes)
            raise
        sandbox = system.sandbox_facts() if self.sandboxed else "none"
        log.info("photo_processes_ready", detectors=self.workers, sandbox=sandbox)
        if not self.sandboxed:
            log.error("photo_processes_unsandboxed", danger="a photo may reach the network and other processes")
        self._open = True
        self._keeper = asyncio.create_task(self._keep())

    async def close(self, *, grace_seconds: float = 10.0) -> None:
        """Refuse new photos, give those in work `grace_seconds` to finish, and end all processes."""
        self._open, self._was_closed = False, True
        for _ in range(self.queued):
            self._turns.release()  # whoever waits finds out that it is over
        if self._working:
            await asyncio.wait(self._working, timeout=grace_seconds)
        if self._keeper:
            self._keeper.cancel()
            self._detectors.lost.set()  # its thread waits for that
            await asyncio.wait((self._keeper,))
        await asyncio.to_thread(self._end_processes)
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def check(self) -> None:
        """Raises: Overloaded when no process is there to look at a photo."""
        if not self._open or self.workers_alive == 0:
            raise Overloaded(cause="no_detector")

    async def prepare(self, photo: Data, *, crop: bool, fit: Fit = Fit.CROP) -> PreparedPhoto:
        """Raises: UnsupportedImageFormat, InvalidImage, ImageTooLarge; Overloaded when the fault is ours.

        A caller that gives up is forgotten: a waiting photo is dropped at once, one in work is finished first. Whoever
        comes before `start` starts the processes.
        """
        if not self._open and not self._was_closed:
            try:
                await self.start()
            except StartFailed as failure:
                self._log_failure(failure)
                raise Overloaded(cause="no_process") from None
        if not self._open or self.queued + self.busy >= self._at_once + self.max_queued:
            raise Overloaded(cause="queue")
        until = time.monotonic() + self.limits.answer_seconds
        try:
            async with asyncio.timeout(self.limits.answer_seconds):
                await self._turn()
                return await asyncio.shield(self._begin(photo, until, crop=crop, fit=fit))
        except TimeoutError:
            raise Overloaded(cause="timeout") from None
        finally:
            del photo  # a traceback keeps this frame alive, and with it what may be ten megabytes

    async def _turn(self) -> None:
        self.queued += 1
        try:
            with Stage("queue"):
                await self._turns.acquire()
        finally:
            self.queued -= 1
        if not self._open:
            raise Overloaded(cause="stopping")

    def _begin(self, photo: Data, until: float, *, crop: bool, fit: Fit) -> "asyncio.Future[PreparedPhoto]":
        work = contextvars.copy_context().run  # the trace of the request goes along
        prepare = functools.partial(self._prepare, photo, until, crop=crop, fit=fit)
        future = asyncio.get_running_loop().run_in_executor(self._threads, work, prepare)
        self.busy += 1
        self._working.add(future)
        future.add_done_callback(self._end_turn)
        return future

    def _end_turn(self, future: "asyncio.Future[PreparedPhoto]") -> None:
        self.busy -= 1
        self._working.discard(future)
        self._turns.release()
        if not future.cancelled() and isinstance(future.exception(), Misbehaved):
            self.misbehaved += 1

    def _prepare(self, photo: Data, until: float, *, crop: bool, fit: Fit) -> PreparedPhoto:
        verdict: DomainError = Overloaded()
        for tries_left in reversed(range(TRIES)):
            try:
                with _Decoding(self._decoders, self.limits, until) as decoder:
                    return PreparePhoto(decoder, self._detectors, self._detectors, self.max_edge).execute(
                        memoryview(photo), crop=crop, fit=fit
                    )
            except Unlucky as failure:
                log.warning("photo_process_failed", reason=str(failure), tries_left=tries_left)
                verdict = failure.verdict
            except StartFailed as failure:
                self._log_failure(failure)
                verdict = Overloaded(cause="no_process")
        raise verdict

    async def _keep(self) -> None:
        """Listen to the hearts of all processes and replace who is gone, whatever happens."""
        while True:
            self._detectors.lost.clear()
            try:
                await asyncio.to_thread(self._keep_once)
            except Exception as failure:
                self._log_failure(failure)
            await asyncio.to_thread(self._detectors.lost.wait, _HEARTBEATS_SECONDS)

    @staticmethod
    def _log_failure(failure: Exception) -> None:
        """The reason says it all; a traceback would only show the way here."""
        log.error("photo_process_start_failed", reason=f"{type(failure).__name__}: {failure}")

    def _keep_once(self) -> None:
        for family in self._families:
            family.check()  # first: no detector comes from a parent that hangs
        self._detectors.fill()
        self._detectors.check()
        self._detectors.fill()

    @property
    def _families(self) -> tuple[Children, ...]:
        return self._decoders, self._observers

    def _end_processes(self) -> None:
        for family in self._families:
            family.close()
        self._detectors.close()  # now no other one can come


class _Decoding(PhotoDecoder):
    """One try with one photo: a process for it, which ends with the block."""

    def __init__(self, decoders: Children, limits: PhotoLimits, until: float) -> None:
        self._decoders = decoders
        self._limits = limits
        self._deadline = min(until, time.monotonic() + limits.try_seconds)

    def __enter__(self) -> "_Decoding":
        self._child = self._decoders.make()
        return self

    def __exit__(self, *_: object) -> None:
        self._child.dismiss()

    def open(self, photo: bytes | memoryview) -> RemotePhoto:
        return RemotePhoto(self._child, photo, self._limits, self._deadline)
