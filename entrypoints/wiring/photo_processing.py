"""The pool of photo workers as the settings want it, and what the machine has to bring along for it."""

import subprocess
import sys
from collections.abc import Callable
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Self

from adapters.sandbox import syscall_filter
from adapters.sandbox.syscall_filter import SandboxUnavailable
from adapters.sandbox.worker_pool import WorkerLimits, WorkerPool
from adapters.vision.models import ModelInstallationFailed, install, missing
from adapters.vision.system_libraries import missing_library_advice
from application.prepare_photo import ExplainedPhoto, PreparePhoto
from entrypoints.server.cores import own_cores, usable_cores
from entrypoints.wiring.settings import Settings

__all__ = [
    "ModelInstallationFailed",
    "SandboxUnavailable",
    "build_processor",
    "install_models",
    "missing_models",
    "missing_system_libraries",
    "sandbox_problem",
]


REPORT_BYTES = 1_000_000
"""More than all that is said about a photo besides its three bytes a pixel at most."""


@dataclass(frozen=True, slots=True)
class PreparerFactory:
    """Builds a `PreparePhoto` in a worker without the server ever importing what that takes.

    Unpickling it, which the fork server does once, imports the decoder and the detector for all workers.
    """

    model_dir: Path
    max_pixels: int
    max_edge: int

    def __call__(self) -> PreparePhoto:
        from entrypoints.wiring.photo_worker import build_preparer  # noqa: PLC0415 - see above

        return build_preparer(self.model_dir, self.max_pixels, self.max_edge)

    def __reduce__(self) -> tuple[object, ...]:
        return type(self)._imported, astuple(self)

    @classmethod
    def _imported(cls, model_dir: Path, max_pixels: int, max_edge: int) -> Self:
        import entrypoints.wiring.photo_worker  # noqa: F401, PLC0415 - see above

        return cls(model_dir, max_pixels, max_edge)


def preparer_factory(settings: Settings) -> PreparerFactory:
    """How this service prepares photos, in a worker or offline."""
    return PreparerFactory(model_dir(settings), settings.max_pixels, settings.max_edge)


def build_processor(settings: Settings) -> WorkerPool:
    """As many workers as there are cores, unless the settings say otherwise; shared out among the server processes.

    With one worker for each core and all of the cores to itself, each worker keeps to its own.
    """
    workers = settings.workers or usable_cores()
    cores = own_cores()
    return WorkerPool(
        factory=preparer_factory(settings),
        workers=settings.share(workers),
        max_queued=settings.share(settings.max_uploads),
        readable_paths=(str(model_dir(settings)),),
        allow_unsandboxed=settings.allow_unsandboxed,
        limits=WorkerLimits(
            photo_seconds=settings.photo_timeout_seconds,
            max_reply_bytes=3 * settings.max_edge**2 + REPORT_BYTES,
        ),
        cores=cores if settings.server_processes == 1 and workers == len(cores) else None,
    )


def offline_preparer(settings: Settings) -> PreparePhoto:
    """The very same pipeline in this process, for an operator's own photos."""
    return preparer_factory(settings)()


def draw_overlay(explained: ExplainedPhoto) -> bytes:
    """A JPEG of the photo with what was seen in it and the chosen window."""
    from adapters.vision.overlay import draw_overlay as draw  # noqa: PLC0415 - only once OpenCV is loaded anyway

    return draw(explained)


def without_network(settings: Settings) -> None:
    """From now on this process has no network: MediaPipe would report its use. Raises: SandboxUnavailable."""
    try:
        syscall_filter.install(syscall_filter.FORK_SERVER_DENIALS)
    except SandboxUnavailable:
        if not settings.allow_unsandboxed:
            raise


def model_dir(settings: Settings) -> Path:
    return settings.model_dir.expanduser().absolute()


def install_models(settings: Settings, progress: Callable[[str], None]) -> None:
    """Raises: ModelInstallationFailed."""
    install(model_dir(settings), progress)


def missing_models(settings: Settings) -> tuple[str, ...]:
    """Names of model files that are absent or damaged."""
    return missing(model_dir(settings))


def sandbox_problem() -> str | None:
    """Whether workers can be kept off the network here; tried in a process of its own, since a filter is for life."""
    attempt = "from adapters.sandbox import syscall_filter as f; f.install(f.FORK_SERVER_DENIALS)"
    done = subprocess.run([sys.executable, "-P", "-c", attempt], check=False, capture_output=True)  # noqa: S603 - fixed
    if done.returncode == 0:
        return None
    return "Use a kernel with seccomp, or, for your own photos only, set TRYON_ALLOW_UNSANDBOXED=1."


def missing_system_libraries() -> str | None:
    """One line that says what to install; None when everything is there."""
    return missing_library_advice()
