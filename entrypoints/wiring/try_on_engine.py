"""The engine that the settings name, with what it needs."""

from collections.abc import Mapping
from typing import Any, Final

from adapters.try_on.predict_engine import Authorize, PredictEngine
from application.ports.photos import PhotoProcessor
from application.ports.try_on import TryOnEngine
from entrypoints.wiring.settings import Settings

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


def build_engine(settings: Settings, processor: PhotoProcessor) -> TryOnEngine:
    """Nothing is started or connected to before the first try-on."""
    match settings.engine:
        case "vertex":
            from adapters.try_on.google_tokens import GoogleTokens  # noqa: PLC0415 - 15 MB that only this engine needs

            return _predict("vertex", vertex_url(settings), settings, processor, GoogleTokens().headers)
        case "http":
            return _predict("http", str(settings.engine_url), settings, processor, _bearer(settings.engine_token))
        case _:
            from adapters.try_on.sandbox_engine import SandboxEngine  # noqa: PLC0415 - Pillow, which only this one needs

            return SandboxEngine()


def vertex_url(settings: Settings) -> str:
    """Source: Vertex AI REST reference, `publishers.models.predict`."""
    region = settings.vertex_region
    host = "aiplatform.googleapis.com" if region == "global" else f"{region}-aiplatform.googleapis.com"
    return (
        f"https://{host}/v1/projects/{settings.vertex_project}/locations/{region}"
        f"/publishers/google/models/{settings.vertex_model}:predict"
    )


def _predict(name: str, url: str, settings: Settings, processor: PhotoProcessor, authorize: Authorize) -> PredictEngine:
    return PredictEngine(
        name,
        url,
        authorize=authorize,
        processor=processor,
        parameters=PARAMETERS,
        seconds=settings.engine_timeout_seconds,
    )


def _bearer(token: str | None) -> Authorize:
    async def headers() -> Mapping[str, str]:
        return {"authorization": f"Bearer {token}"} if token else {}

    return headers
