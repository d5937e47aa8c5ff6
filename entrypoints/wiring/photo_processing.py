"""The sandboxed processing of photos as the settings want it, and what the machine has to bring along for it."""

from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Final

from adapters.sandbox import system
from adapters.sandbox.children import StartFailed
from adapters.sandbox.confinement import SandboxUnavailable
from adapters.sandbox.processor import SandboxedPhotoProcessor
from adapters.sandbox.remote_photo import PhotoLimits
from adapters.sandbox.trades import DecodingTrade, DetectingTrade
from adapters.vision.models import ModelInstallationFailed, install, missing
from application.prepare_photo import ExplainedPhoto, PreparePhoto
from entrypoints.wiring.environment import ConfigurationError, Problem
from entrypoints.wiring.settings import Settings, is_loopback

__all__ = ["ModelInstallationFailed", "SandboxUnavailable"]

MAX_QUEUED: Final = 64
"""Photos at the workers' door: `FairTurns`, before it, lets in hardly more than there are workers."""
REPORT_BYTES: Final = 1_000_000
"""More than the tables of a JPEG, besides three bytes a pixel at most."""

_SERVER_BYTES: Final = 350_000_000
_WORKER_BYTES: Final = 250_000_000
"""What the server with both parents takes, and one detector with a decoder at a photo of 12 megapixels."""

sandbox_problem = system.sandbox_problem
sandbox_facts = system.sandbox_facts
missing_system_libraries = system.missing_library_advice
SERVER_ENVIRONMENT: Final = system.SERVER_ENVIRONMENT
"""For the C library's memory, unless the operator has set it."""

_MODULE: Final = "entrypoints.wiring.photo_worker"


_SAMPLES: Final = {
    "JPEG": "jpeg.jpg",
    "progressive JPEG": "progressive-jpeg.jpg",
    "PNG": "png.png",
    "PNG with alpha": "png-with-alpha.png",
    "WebP": "webp.webp",
    "lossless WebP": "lossless-webp.webp",
    "HEIC": "heic.heic",
}


def sample_photos() -> dict[str, bytes]:
    """A tiny photo of every kind that is accepted: 32 x 32 pixels from black to white, made for this."""
    folder = Path(__file__).with_name("sample_photos")
    return {kind: (folder / name).read_bytes() for kind, name in _SAMPLES.items()}


def optional_libraries() -> list[tuple[str, str | None, str]]:
    """Name, version (None where it is not installed) and what is done without it, of all that could be missing."""
    from adapters.imaging.native import libheif, libwebp  # noqa: PLC0415 - codecs, which no server process loads

    try:
        traces = metadata.version("opentelemetry-sdk")
    except metadata.PackageNotFoundError:
        traces = None
    return [
        ("libwebp", libwebp.version(), "a WebP takes a fifth more time"),
        ("libheif", libheif.version(), "a large HEIC takes up to twice the time"),
        ("opentelemetry-sdk", traces, "there are no traces"),
    ]


def build_processor(settings: Settings) -> SandboxedPhotoProcessor:
    """As many photos at once as there are cores and memory for, unless the settings say otherwise.

    Shared out among the server processes. With one detector for each core and all of the cores to itself, each keeps to
    its own.
    """
    workers = settings.workers or default_workers()
    cores = system.own_cores()
    limits = PhotoLimits(
        cpu_seconds=settings.photo_timeout_seconds,
        max_jpeg_bytes=3 * settings.max_edge**2 + REPORT_BYTES,
        max_pixels=settings.max_pixels,
    )
    models = model_dir(settings)
    return SandboxedPhotoProcessor(
        decoding=DecodingTrade(
            f"{_MODULE}:decoder",
            settings.max_pixels,
            samples=tuple(sample_photos().values()),
            memory_bytes=limits.memory_bytes,
            cpu_seconds=limits.cpu_seconds,
        ),
        detecting=DetectingTrade(
            f"{_MODULE}:observer", models, readable_paths=(str(models),), memory_bytes=limits.memory_bytes
        ),
        workers=settings.share(workers),
        max_queued=settings.share(MAX_QUEUED),
        max_edge=settings.max_edge,
        allow_unsandboxed=allows_unsandboxed(settings),
        limits=limits,
        cores=cores if settings.server_processes == 1 and workers == len(cores) else None,
    )


def default_workers() -> int:
    """One for each core, but no more than there is memory for."""
    return max(1, min(system.usable_cores(), (system.usable_memory_bytes() - _SERVER_BYTES) // _WORKER_BYTES))


def offline_preparer(settings: Settings) -> PreparePhoto:
    """The very same pipeline in this process, for an operator's own photos."""
    from entrypoints.wiring.photo_worker import build_preparer  # noqa: PLC0415 - loads codecs and models

    return build_preparer(model_dir(settings), settings.max_pixels, settings.max_edge)


def draw_overlay(explained: ExplainedPhoto) -> bytes:
    """A JPEG of the photo with what was seen in it and the chosen window."""
    from adapters.vision.overlay import draw_overlay as draw  # noqa: PLC0415 - only once OpenCV is loaded anyway

    return draw(explained)


def without_network(settings: Settings) -> None:
    """From now on this process has no network: MediaPipe would report its use. Raises: SandboxUnavailable."""
    try:
        system.refuse_network()
    except SandboxUnavailable:
        if not allows_unsandboxed(settings):
            raise


def model_dir(settings: Settings) -> Path:
    return settings.model_dir.expanduser().absolute()


def install_models(settings: Settings, progress: Callable[[str], None]) -> None:
    """Raises: ModelInstallationFailed."""
    install(model_dir(settings), progress)


def missing_models(settings: Settings) -> tuple[str, ...]:
    """Names of model files that are absent or damaged."""
    return missing(model_dir(settings))


def attack_sandbox() -> list[tuple[str, str, str, bool]]:
    """Process, attack, outcome, and whether the sandbox held. Raises: SandboxUnavailable."""
    from adapters.sandbox import attacks  # noqa: PLC0415 - nobody who serves photos needs them

    try:
        found = {"decoder": attacks.on_decoder(attacks.TABLE), "detector": attacks.on_detector(attacks.TABLE)}
    except StartFailed as error:
        raise SandboxUnavailable(str(error)) from error
    return [
        (process, attack, outcome, attacks.is_held(outcome))
        for process, outcomes in found.items()
        for attack, outcome in outcomes.items()
    ]


def expect_sandbox(settings: Settings) -> None:
    """Raises: ConfigurationError: photos of strangers would be decoded without a sandbox."""
    if not system.HAS_SANDBOX and not is_loopback(settings.host):
        takes = "127.0.0.1 or ::1 on this system: only Linux has the sandbox that photos of strangers need"
        raise ConfigurationError([Problem("TRYON_HOST", settings.host, takes)])
    if not allows_unsandboxed(settings) and (problem := sandbox_problem()):
        takes = f"1 where only your own photos come in: {problem}"
        raise ConfigurationError([Problem("TRYON_ALLOW_UNSANDBOXED", "0", takes)])


def allows_unsandboxed(settings: Settings) -> bool:
    """As the settings say; a system that has no sandbox at all is a developer's, see `expect_sandbox`."""
    return settings.allow_unsandboxed or not system.HAS_SANDBOX
