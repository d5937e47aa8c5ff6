"""Every metric, by name: figures about the service, none about a person or an account.

Several server processes share them through files (prometheus-client's multiprocess mode), so nothing may be computed
when it is asked for: gauges are set by those who know, every few seconds.
"""

import mmap
import os
from collections import Counter as Tally
from functools import cache, partial
from pathlib import Path
from typing import Any, Final

from prometheus_client import Counter, Gauge, Histogram, mmap_dict, values

from adapters.sandbox import system
from application.generations import GenerationOutcome
from application.request_trace import ObservedRequest, StageName

BYTES: Final = 256 * 1024
"""Some 1,000 series of one kind in one process; more grow it."""
LONGEST_ENTRY: Final = 4096


_LibrarysFile: Any = mmap_dict.MmapedDict  # its methods have no types


class PreallocatedFile(_LibrarysFile):  # type: ignore[misc]  # as said
    """A file of shared metrics that owns its space from the start, in place of the library's sparse one.

    A sparse file that finds no page left when it is written ends its process by SIGBUS. What finds no room here is not
    counted: figures are no reason to fail a request.
    """

    def __init__(self, filename: str, read_mode: bool = False) -> None:
        if read_mode or _grow(filename, BYTES):
            super().__init__(filename, read_mode)
            return
        Path(filename).unlink(missing_ok=True)  # whoever reads all files expects none without a beginning
        self._f: Any = None
        self._fname, self._capacity = filename, BYTES
        self._m = mmap.mmap(-1, BYTES)  # this process counts for itself
        self._positions: dict[str, int] = {}
        self._used = 8

    def read_value(self, key: str) -> tuple[float, float]:
        if key in self._positions or self._has_room():
            found: tuple[float, float] = super().read_value(key)
            return found
        return 0.0, 0.0

    def write_value(self, key: str, value: float, timestamp: float) -> None:
        if key in self._positions or self._has_room():
            super().write_value(key, value, timestamp)

    def _has_room(self) -> bool:
        if self._used + LONGEST_ENTRY <= self._capacity:
            return True
        return self._f is not None and _grow(self._fname, 2 * self._capacity)


def _grow(filename: str, size: int) -> bool:
    """Give the file `size` bytes of its own; False when there is no space for them."""
    descriptor = os.open(filename, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        system.take_room(descriptor, size)
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return True


values.MmapedDict = PreallocatedFile  # type: ignore[attr-defined]  # before the first metric is made

_REQUEST_SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_GENERATION_SECONDS: Final = (0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 900)
_STAGE_SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)

_summed = partial(Gauge, multiprocess_mode="livesum")
_highest = partial(Gauge, multiprocess_mode="livemax")
_latest = partial(Gauge, multiprocess_mode="mostrecent")
"""Of all server processes, over those that live, or by whichever set it last."""

REQUESTS: Final = Counter(
    "tryon_requests_total", "Requests, by route template, method and status.", ["route", "method", "status"]
)
REQUEST_SECONDS: Final = Histogram(
    "tryon_request_seconds", "From the first byte to the last one of the answer.", ["route"], buckets=_REQUEST_SECONDS
)
STAGE_SECONDS: Final = Histogram(
    "tryon_stage_seconds",
    "What requests spent their time on: reading the body, waiting for a photo worker, decode, detect, encode, store, "
    "database.",
    ["stage"],
    buckets=_STAGE_SECONDS,
)
REJECTIONS: Final = Counter(
    "tryon_rejections_total", "Requests that were answered with an error, by its code.", ["code"]
)
IMAGES: Final = Counter(
    "tryon_images_total",
    "Uploads whose photo was looked at, by its format and what became of it: stored, or an error code.",
    ["format", "outcome"],
)
PHOTO_WAIT_SECONDS: Final = Histogram(
    "tryon_photo_wait_seconds", "How long a photo waited for a worker.", buckets=_STAGE_SECONDS
)
PHOTO_SECONDS: Final = Histogram(
    "tryon_photo_seconds", "How long a worker took over a photo, by its format.", ["format"], buckets=_STAGE_SECONDS
)
GENERATIONS: Final = Counter(
    "tryon_generations_total", "Attempts at a try-on, by what came of them: COMPLETED, or an error code.", ["outcome"]
)
GENERATION_WAIT_SECONDS: Final = Histogram(
    "tryon_generation_wait_seconds", "From the request for a try-on to its first attempt.", buckets=_GENERATION_SECONDS
)
GENERATION_SECONDS: Final = Histogram(
    "tryon_generation_seconds", "Duration of one attempt at a try-on.", ["outcome"], buckets=_GENERATION_SECONDS
)
ACCOUNT_REQUESTS: Final = Counter(
    "tryon_account_requests_total",
    "Requests by account and code of the answer; `account` is its id only where an operator asked for it, else `all`.",
    ["account", "code"],
)
ACTIVE_ACCOUNTS: Final = _summed(
    "tryon_active_accounts", "Accounts that asked for something in the last half minute.", multiprocess_mode="livemax"
)
BUSIEST_ACCOUNT_REQUESTS: Final = _highest(
    "tryon_busiest_account_requests",
    "Requests of the account that asked for most in the last half minute; of one server process.",
)
STORAGE_ERRORS: Final = Counter(
    "tryon_storage_errors_total", "Failures of the object storage, by operation and cause.", ["operation", "cause"]
)
DATABASE_ERRORS: Final = Counter("tryon_database_errors_total", "Failures of the database, by cause.", ["cause"])
ERASURES: Final = Counter("tryon_erasures_total", "Erasures of customers that clients asked for and got.")

UPLOADS_IN_HAND: Final = Gauge("tryon_uploads_in_hand", "Requests with a body.")
UPLOAD_MEMORY_BYTES: Final = _summed("tryon_upload_memory_bytes", "Claimed by bodies on their way and photos in work.")
UPLOAD_MEMORY_LIMIT_BYTES: Final = _summed("tryon_upload_memory_limit_bytes", "That may be claimed.")
PHOTOS_QUEUED: Final = _summed("tryon_photos_queued", "Photos that wait for a worker.")
PHOTO_WORKERS_BUSY: Final = _summed("tryon_photo_workers_busy", "Photo workers that are at work.")
PHOTO_WORKERS_ALIVE: Final = _summed("tryon_photo_workers_alive", "Photo workers that live.")
PHOTO_WORKERS_WANTED: Final = _summed("tryon_photo_workers_wanted", "Photo workers that there should be.")
PHOTO_WORKER_RESTARTS: Final = Counter(
    "tryon_photo_worker_restarts_total", "Detectors that were replaced: hanging, broken or dead."
)

PHOTOS_MISBEHAVED: Final = Counter(
    "tryon_photos_misbehaved_total",
    "Photos whose decoder broke the rules of its sandbox or answered what no honest one does: attacks.",
)

PART_READY: Final = _latest(
    "tryon_part_ready", "1 when the part was well half a minute ago or later, else 0.", ["part"]
)
STORAGE_RESERVE_OK: Final = _latest(
    "tryon_storage_reserve_ok",
    "1 while the disks of files and embedded database have the room that is kept for deletions, else 0: uploads stop.",
)
EXPIRED_IMAGES: Final = _latest("tryon_expired_images", "Images past their expiry that are still there.")
OLDEST_EXPIRED_SECONDS: Final = _latest(
    "tryon_oldest_expired_seconds", "How long the oldest of them has been past its expiry; 0 when there is none."
)
OPEN_ERASURES: Final = _latest("tryon_open_erasures", "Erasures of which images are left.")
CREDITS_LEFT: Final = _latest("tryon_credits_left", "Try-ons that accounts with a limit may still start, all together.")
ACCOUNTS_WITHOUT_CREDITS: Final = _latest(
    "tryon_accounts_without_credits", "Active accounts that have used up their try-ons."
)
LONGEST_WAITING_GENERATION_SECONDS: Final = _latest(
    "tryon_longest_waiting_generation_seconds",
    "How long the try-on that is due for the longest has waited for a worker; 0 when none is due.",
)
LAST_PURGE: Final = _latest("tryon_last_purge_timestamp_seconds", "When a purge last went through, in Unix time.")
CLOCK_SKEW_SECONDS: Final = _latest(
    "tryon_clock_skew_seconds", "How far this machine's clock is ahead of the database's; expiry goes by this one."
)
PURGED_IMAGES: Final = Counter("tryon_purged_images_total", "Images that a purge removed, with their bytes.")

ALL: Final = tuple(each for each in list(globals().values()) if isinstance(each, (Counter, Gauge, Histogram)))


UPLOAD: Final = "uploadImage"
ERASURE: Final = "eraseCustomer"


WORK: Final[tuple[StageName, ...]] = ("decode", "detect", "encode")
"""The stages of a photo inside a worker."""


def observe(request: ObservedRequest) -> None:
    """Count one request."""
    _requests(request.route, request.method, request.status).inc()
    _request_seconds(request.route).observe(request.seconds)
    stages = request.trace.seconds_by_stage()
    for name, seconds in stages.items():
        _stage_seconds(name).observe(seconds)
    if request.code is not None:
        REJECTIONS.labels(request.code).inc()
    photo_format = request.trace.facts.get("photo_format")
    if request.operation == UPLOAD and photo_format:
        IMAGES.labels(str(photo_format), request.code or "stored").inc()
    if "queue" in stages:
        PHOTO_WAIT_SECONDS.observe(stages["queue"])
    if photo_format and "decode" in stages:
        PHOTO_SECONDS.labels(str(photo_format)).observe(sum(stages.get(name, 0.0) for name in WORK))
    if request.operation == ERASURE and request.code is None:
        ERASURES.inc()


def observe_generation(outcome: GenerationOutcome, seconds: float) -> None:
    """Count one attempt at a try-on, which took `seconds`."""
    name = outcome.code or outcome.status
    GENERATIONS.labels(name).inc()
    GENERATION_SECONDS.labels(name).observe(seconds)
    if outcome.attempts == 1:
        GENERATION_WAIT_SECONDS.observe(outcome.waited.total_seconds())


class AccountMeter:
    """Figures by account that name none, unless the operator asked for ids."""

    def __init__(self, *, with_ids: bool) -> None:
        self._with_ids = with_ids
        self._requests: Tally[str] = Tally()

    def observe(self, request: ObservedRequest) -> None:
        """Count a request that came with a valid key."""
        account = request.trace.facts.get("account_id")
        if account is not None:
            self._requests[str(account)] += 1
            ACCOUNT_REQUESTS.labels(str(account) if self._with_ids else "all", request.code or "OK").inc()

    def conclude(self) -> None:
        """To be called every half minute."""
        ACTIVE_ACCOUNTS.set(len(self._requests))
        BUSIEST_ACCOUNT_REQUESTS.set(max(self._requests.values(), default=0))
        self._requests.clear()


# What every request counts in: a look-up here takes a fifth of the time that the library's own takes.


@cache
def _requests(route: str, method: str, status: int) -> Counter:
    return REQUESTS.labels(route, method, str(status))


@cache
def _request_seconds(route: str) -> Histogram:
    return REQUEST_SECONDS.labels(route)


@cache
def _stage_seconds(name: StageName) -> Histogram:
    return STAGE_SECONDS.labels(name)
