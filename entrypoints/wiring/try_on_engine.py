"""The engine that the settings name, with what it needs."""

from collections.abc import Mapping
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any, Final, Self

from adapters.sandbox.worker import PhotoPreparer
from adapters.sandbox.worker_pool import WorkerLimits, WorkerPool
from adapters.try_on.predict_engine import PredictEngine
from adapters.try_on.preview import REFUSALS, PreviewTryOnEngine
from application.ports.photos import PhotoProcessor
from application.ports.try_on import TryOnEngine
from entrypoints.wiring.photo_processing import model_dir
from entrypoints.wiring.settings import Settings

PREVIEW_SECONDS: Final = 30
"""A preview takes 1 to 2 s of a free core; more than this is a machine in trouble."""
MAX_AT_ONCE: Final = 64
JPEG_QUALITY: Final = 90
PARAMETERS: Final[Mapping[str, Any]] = {
    "sampleCount": 1,
    "baseSteps": 32,
    "addWatermark": True,
    "personGeneration": "allow_adult",
    "safetySetting": "block_medium_and_above",
    "outputOptions": {"mimeType": "image/jpeg", "compressionQuality": JPEG_QUALITY},
}
"""Google's own defaults (Virtual Try-On API), but for the format."""


@dataclass(frozen=True, slots=True)
class PreviewFactory:
    """Builds a preview in a worker without the server ever importing what that takes; see `PreparerFactory`."""

    model_dir: Path

    def __call__(self) -> PhotoPreparer:
        from entrypoints.wiring.preview_worker import build_preview  # noqa: PLC0415 - see above

        return build_preview(self.model_dir)

    def __reduce__(self) -> tuple[object, ...]:
        return type(self)._imported, astuple(self)

    @classmethod
    def _imported(cls, model_dir: Path) -> Self:
        import entrypoints.wiring.preview_worker  # noqa: F401, PLC0415 - see above

        return cls(model_dir)


def build_engine(settings: Settings, processor: PhotoProcessor) -> TryOnEngine:
    """Nothing is started or connected to before the first try-on."""
    match settings.engine:
        case "vertex":
            from adapters.try_on.google_tokens import GoogleTokens  # noqa: PLC0415 - 15 MB that only this engine needs

            return _predict("vertex", vertex_url(settings), settings, processor, GoogleTokens().headers)
        case "http":
            return _predict("http", str(settings.engine_url), settings, processor, _no_authorization)
        case _:
            return _preview(settings)


def vertex_url(settings: Settings) -> str:
    """Source: Vertex AI REST reference, `publishers.models.predict`."""
    region = settings.vertex_region
    host = "aiplatform.googleapis.com" if region == "global" else f"{region}-aiplatform.googleapis.com"
    return (
        f"https://{host}/v1/projects/{settings.vertex_project}/locations/{region}"
        f"/publishers/google/models/{settings.vertex_model}:predict"
    )


def _predict(name: str, url: str, settings: Settings, processor: PhotoProcessor, authorize: Any) -> PredictEngine:
    return PredictEngine(
        name,
        url,
        authorize=authorize,
        processor=processor,
        parameters=PARAMETERS,
        seconds=settings.engine_timeout_seconds,
    )


def _preview(settings: Settings) -> PreviewTryOnEngine:
    pool = WorkerPool(
        factory=PreviewFactory(model_dir(settings)),
        workers=1,  # some 200 MB; whoever has more cores for previews starts `tryon-images worker` on them
        max_queued=MAX_AT_ONCE,
        readable_paths=(str(model_dir(settings)),),
        allow_unsandboxed=settings.allow_unsandboxed,
        limits=WorkerLimits(photo_seconds=PREVIEW_SECONDS),
        refusals=REFUSALS,
    )
    return PreviewTryOnEngine(pool)


async def _no_authorization() -> Mapping[str, str]:
    return {}
