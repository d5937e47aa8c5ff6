"""The engine that the settings name, with what it needs."""

from collections.abc import Mapping
from typing import Any, Final

import httpx

from adapters.try_on.predict_engine import Authorize, NotAuthorized, PredictEngine
from application.ports.photos import PhotoProcessor
from application.ports.try_on import TryOnEngine
from domain.errors import Overloaded
from entrypoints.wiring.settings import Settings

PROBE_SECONDS: Final = 10
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


async def probe_engine(settings: Settings) -> str:
    """Whether the engine can be reached, without a picture. Raises: Overloaded, with what to look at."""
    match settings.engine:
        case "vertex":
            from adapters.try_on.google_tokens import GoogleTokens  # noqa: PLC0415 - as above

            try:
                await GoogleTokens().headers()
            except NotAuthorized:
                raise Overloaded("There are no credentials. Run: gcloud auth application-default login") from None
            return await _reached(vertex_url(settings))
        case "http":
            return await _reached(str(settings.engine_url))
        case _:
            return "sandbox: no model is connected"


async def _reached(url: str) -> str:
    """Any answer will do: nothing is asked of the model."""
    try:
        async with httpx.AsyncClient(timeout=PROBE_SECONDS) as client:
            await client.head(url)
    except (httpx.HTTPError, OSError) as error:
        raise Overloaded(f"The engine does not answer ({type(error).__name__}). Does it run there?") from None
    return "it answers"
