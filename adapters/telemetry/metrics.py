"""Every metric, by name: figures about the service, none about a person or an account.

Several server processes share them through files (prometheus-client's multiprocess mode), so nothing may be computed
when it is asked for: gauges are set by those who know, every few seconds.
"""

import os
from functools import cache
from pathlib import Path
from typing import Final

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram, generate_latest, multiprocess

from application.request_trace import ObservedRequest, StageName

SHARED_FOLDER: Final = "PROMETHEUS_MULTIPROC_DIR"
"""prometheus-client's own variable; it has to be set before this module is imported."""

_REQUEST_SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_STAGE_SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)

REQUESTS: Final = Counter(
    "tryon_requests_total", "Requests, by route template, method and status.", ["route", "method", "status"]
)
REQUEST_SECONDS: Final = Histogram(
    "tryon_request_seconds", "From the first byte to the last one of the answer.", ["route"], buckets=_REQUEST_SECONDS
)
STAGE_SECONDS: Final = Histogram(
    "tryon_stage_seconds",
    "What requests spent their time on: reading the body, waiting for a photo worker, decode, detect, encode, encode, "
    "store, database.",
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
ERASURES: Final = Counter("tryon_erasures_total", "Erasures of customers that clients asked for and got.")

UPLOADS_IN_HAND: Final = Gauge("tryon_uploads_in_hand", "Uploads that hold a slot.", multiprocess_mode="livesum")
UPLOAD_SLOTS: Final = Gauge("tryon_upload_slots", "Slots for uploads.", multiprocess_mode="livesum")
PHOTOS_QUEUED: Final = Gauge("tryon_photos_queued", "Photos that wait for a worker.", multiprocess_mode="livesum")
PHOTO_WORKERS_BUSY: Final = Gauge(
    "tryon_photo_workers_busy", "Photo workers that are at work.", multiprocess_mode="livesum"
)
PHOTO_WORKERS_ALIVE: Final = Gauge("tryon_photo_workers_alive", "Photo workers that live.", multiprocess_mode="livesum")
PHOTO_WORKERS_WANTED: Final = Gauge(
    "tryon_photo_workers_wanted", "Photo workers that there should be.", multiprocess_mode="livesum"
)
PHOTO_WORKER_RESTARTS: Final = Counter(
    "tryon_photo_worker_restarts_total", "Photo workers that were replaced: worn, too slow, or dead."
)

PART_READY: Final = Gauge(
    "tryon_part_ready",
    "1 when the part (database, storage, workers) was well half a minute ago or later, else 0.",
    ["part"],
    multiprocess_mode="mostrecent",
)
EXPIRED_IMAGES: Final = Gauge(
    "tryon_expired_images", "Images past their expiry that are still there.", multiprocess_mode="mostrecent"
)
OLDEST_EXPIRED_SECONDS: Final = Gauge(
    "tryon_oldest_expired_seconds",
    "How long the oldest of them has been past its expiry; 0 when there is none.",
    multiprocess_mode="mostrecent",
)
OPEN_ERASURES: Final = Gauge(
    "tryon_open_erasures", "Erasures of which images are left.", multiprocess_mode="mostrecent"
)
LAST_PURGE: Final = Gauge(
    "tryon_last_purge_timestamp_seconds",
    "When a purge last went through, in Unix time.",
    multiprocess_mode="mostrecent",
)
PURGED_IMAGES: Final = Counter("tryon_purged_images_total", "Images that a purge removed, with their bytes.")

ALL: Final = (
    REQUESTS,
    REQUEST_SECONDS,
    STAGE_SECONDS,
    REJECTIONS,
    IMAGES,
    ERASURES,
    UPLOADS_IN_HAND,
    UPLOAD_SLOTS,
    PHOTOS_QUEUED,
    PHOTO_WORKERS_BUSY,
    PHOTO_WORKERS_ALIVE,
    PHOTO_WORKERS_WANTED,
    PHOTO_WORKER_RESTARTS,
    PART_READY,
    EXPIRED_IMAGES,
    OLDEST_EXPIRED_SECONDS,
    OPEN_ERASURES,
    LAST_PURGE,
    PURGED_IMAGES,
)


UPLOAD: Final = "uploadImage"
ERASURE: Final = "eraseCustomer"


def observe(request: ObservedRequest) -> None:
    """Count one request."""
    _requests(request.route, request.method, request.status).inc()
    _request_seconds(request.route).observe(request.seconds)
    for name, seconds in request.trace.seconds_by_stage().items():
        _stage_seconds(name).observe(seconds)
    if request.code is not None:
        REJECTIONS.labels(request.code).inc()
    if request.operation == UPLOAD and (photo_format := request.trace.facts.get("photo_format")):
        IMAGES.labels(str(photo_format), request.code or "stored").inc()
    if request.operation == ERASURE and request.code is None:
        ERASURES.inc()


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


def exposition() -> bytes:
    """All metrics of all server processes, in Prometheus' text format."""
    folder = os.environ.get(SHARED_FOLDER)
    if folder is None:
        return generate_latest(REGISTRY)
    _forget_the_dead(Path(folder))
    registry = CollectorRegistry()
    multiprocess.MultiProcessCollector(registry, folder)
    return generate_latest(registry)


def _forget_the_dead(folder: Path) -> None:
    """A process that is gone has no uploads in hand; what it counted still counts."""
    for path in folder.glob("gauge_live*_*.db"):
        process_id = path.stem.rpartition("_")[2]
        if not Path(f"/proc/{process_id}").exists():
            multiprocess.mark_process_dead(int(process_id), str(folder))
