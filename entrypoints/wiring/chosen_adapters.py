"""Storage and try-on engine that the settings name. What only a bucket or an engine needs is imported late."""

import secrets
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import httpx

from adapters.object_storage.folder import FolderObjectStore
from adapters.object_storage.hmac_links import HmacLinks
from adapters.try_on.predict_engine import Authorize, NotAuthorized, PredictEngine
from application.ports.objects import ObjectStore, StorageRules
from application.ports.photos import PhotoProcessor
from application.ports.rows import UnitOfWork
from application.ports.try_on import TryOnEngine
from domain.errors import Overloaded
from entrypoints.wiring.key_rings import signing_ring
from entrypoints.wiring.settings import Settings

if TYPE_CHECKING:
    from adapters.object_storage.gcs import GcsLinks
    from adapters.object_storage.gcs_bucket import GcsBucket

PREVIEWS_PATH = "/tryon/v1/previews"


class Storage:
    """The storage adapters of one process; those of a bucket share its threads and connections."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._bucket = None if settings.keeps_files else _bucket(settings)

    def objects(self, work: UnitOfWork) -> ObjectStore:
        if self._bucket is None:
            return FolderObjectStore(self._settings.storage_folder, partial(_has_kept_nothing, work))
        from adapters.object_storage.gcs import GcsObjectStore  # noqa: PLC0415 - see above

        return GcsObjectStore(self._bucket)

    def own_links(self) -> HmacLinks:
        """Links to our own preview route. Where a bucket serves them there is none, and no key that could be kept."""
        ring = signing_ring(self._settings) if self._settings.serves_previews else (secrets.token_bytes(32),)
        return HmacLinks(self._settings.base_url + PREVIEWS_PATH, ring)

    def links(self) -> "HmacLinks | GcsLinks":
        """Whatever signs them, it also knows them again."""
        if self._bucket is None or self._settings.serves_previews:
            return self.own_links()
        from adapters.object_storage.gcs import GcsLinks  # noqa: PLC0415 - see above

        return GcsLinks(self._bucket)

    def rules(self) -> StorageRules | None:
        """None for a folder, which has none: what is deleted there is gone."""
        if self._bucket is None:
            return None
        from adapters.object_storage.gcs import GcsLinks, GcsObjectStore  # noqa: PLC0415 - see above
        from adapters.object_storage.gcs_rules import GcsStorageRules  # noqa: PLC0415 - see above

        links = None if self._settings.serves_previews else GcsLinks(self._bucket)
        return GcsStorageRules(self._bucket, GcsObjectStore(self._bucket), links)


async def _has_kept_nothing(work: UnitOfWork) -> bool:
    async with work.read() as repositories:
        return not await repositories.images.has_kept()


def _bucket(settings: Settings) -> "GcsBucket":
    from adapters.object_storage.gcs_bucket import GcsBucket  # noqa: PLC0415 - see above

    return GcsBucket(str(settings.storage_url))


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
