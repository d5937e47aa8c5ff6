"""Engines behind Vertex AI's `:predict` protocol: Google's own, or any model that an operator puts behind one.

Source: Vertex AI, "Virtual Try-On API", `virtual-try-on-001`; see `PredictEngine` for what is sent and expected.
"""

import asyncio
import base64
import binascii
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

import httpx
import msgspec
import structlog

from application.ports.photos import PhotoProcessor
from application.ports.try_on import TryOnEngine, TryOnPicture
from domain.errors import (
    ContentFiltered,
    EngineMisconfigured,
    EngineRefused,
    EngineUnavailable,
    ImageTooLarge,
    InvalidImage,
    Overloaded,
    UnsupportedImageFormat,
)
from domain.photo import SourceFormat

log = structlog.get_logger()

Authorize = Callable[[], Awaitable[Mapping[str, str]]]

MAX_ANSWER_BYTES: Final = 40 * 1024 * 1024
"""A PNG of 4 megapixels in base64 takes some 16 MB; more is no picture that anybody asked for."""
PARAMETERS: Final[Mapping[str, Any]] = {
    "sampleCount": 1,
    "baseSteps": 32,
    "addWatermark": True,
    "personGeneration": "allow_adult",
    "safetySetting": "block_medium_and_above",
    "outputOptions": {"mimeType": "image/jpeg", "compressionQuality": 90},
}
"""Google's own defaults (Virtual Try-On API), but for the format."""
PROBE_SECONDS: Final = 10
_PASSES: Final = frozenset({408, 425, 429})
_REFUSES_PHOTOS: Final = frozenset({400, 413, 422})


class NotAuthorized(Exception):
    """There are no credentials, or they were refused."""


class _Prediction(msgspec.Struct, rename="camel"):
    bytes_base64_encoded: str | None = None
    rai_filtered_reason: Any = None


class _Error(msgspec.Struct):
    code: Any = None


class _Answer(msgspec.Struct):
    """An error may come with the status 200, from a gateway that had begun to answer."""

    predictions: list[_Prediction] | None = None
    error: _Error | str | None = None


_answers: Final = msgspec.json.Decoder(_Answer)


class PredictEngine(TryOnEngine):
    """POSTs the two pictures to `url` and keeps the first prediction.

    The photo workers decode it first, as they do with any stranger's file. A JPEG is then kept byte for byte, with its
    marks of origin (C2PA, SynthID); anything else as the JPEG that they make of it. Retrying is the queue's business.
    """

    def __init__(self, name: str, url: str, *, authorize: Authorize, processor: PhotoProcessor, seconds: float) -> None:
        self._name = name
        self._url = url
        self._authorize = authorize
        self._processor = processor
        self._client = httpx.AsyncClient(timeout=seconds, follow_redirects=False)
        self._is_misconfigured = False

    @property
    def name(self) -> str:
        return self._name

    async def render(self, person_jpeg: bytes, garment_jpeg: bytes) -> TryOnPicture:
        """Raises: ContentFiltered, EngineRefused: the photos were judged. EngineMisconfigured: what answers is no
        engine, or refuses us. All of these are final. EngineUnavailable, Overloaded: another try can help.
        """
        request = {
            "instances": [
                {"personImage": {"image": _inline(person_jpeg)}, "productImages": [{"image": _inline(garment_jpeg)}]}
            ],
            "parameters": PARAMETERS,
        }
        answer = await self._post(await asyncio.to_thread(msgspec.json.encode, request))
        prediction = self._first(answer)
        try:
            return await self._picture(base64.b64decode(prediction.encode(), validate=True))
        except InvalidImage:
            raise self._unavailable("damaged picture") from None
        except binascii.Error:
            raise self._misconfigured("no base64") from None
        except (UnsupportedImageFormat, ImageTooLarge) as error:
            raise self._misconfigured(error.code) from None

    async def check(self) -> None:
        """Raises: Overloaded when the last answer was one that only the operator can help."""
        if self._is_misconfigured:
            raise Overloaded("The try-on engine refuses us. Check the model, the project, the region and the rights.")

    async def close(self) -> None:
        await self._client.aclose()

    async def _post(self, body: bytes) -> bytes:
        try:
            headers = {"content-type": "application/json", **await self._authorize()}
            async with self._client.stream("POST", self._url, content=body, headers=headers) as response:
                self._judge(response.status_code)
                return await self._limited(response)
        except NotAuthorized:
            raise self._misconfigured("no credentials") from None
        except (httpx.HTTPError, OSError) as error:
            raise self._unavailable(type(error).__name__) from None

    def _judge(self, status: int) -> None:
        if status == httpx.codes.OK or status in _REFUSES_PHOTOS:
            self._is_misconfigured = False
        if passes(status):
            raise self._unavailable(status)
        if status in _REFUSES_PHOTOS:
            log.warning("engine_refused", engine=self._name, reason=status)
            raise EngineRefused
        if status != httpx.codes.OK:  # a wrong address, no rights, a model that is not there
            raise self._misconfigured(status)

    def _first(self, body: bytes) -> str:
        """The first picture in base64, out of an answer with the status 200."""
        try:
            answer = _answers.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise self._misconfigured("no answer of an engine") from None
        if answer.error is not None:
            code = answer.error.code if isinstance(answer.error, _Error) else None
            self._judge(code if type(code) is int and code != httpx.codes.OK else httpx.codes.BAD_GATEWAY)
        predictions = answer.predictions
        if not predictions or predictions[0].rai_filtered_reason is not None:
            raise ContentFiltered  # the reason is for the operator of the model; it describes the photo
        if predictions[0].bytes_base64_encoded is None:
            raise self._misconfigured("no picture")
        return predictions[0].bytes_base64_encoded

    async def _picture(self, picture: bytes) -> TryOnPicture:
        prepared = await self._processor.prepare(picture, crop=False)
        if prepared.facts.source_format is SourceFormat.JPEG:
            return TryOnPicture(picture, prepared.facts.source_size)
        return TryOnPicture(prepared.jpeg, prepared.facts.size)

    async def _limited(self, response: httpx.Response) -> bytes:
        body = bytearray()
        async for chunk in response.aiter_bytes():
            body += chunk
            if len(body) > MAX_ANSWER_BYTES:
                raise self._misconfigured("an answer too large")
        return bytes(body)

    def _unavailable(self, reason: object) -> EngineUnavailable:
        log.warning("engine_unavailable", engine=self._name, reason=reason)
        return EngineUnavailable()

    def _misconfigured(self, reason: object) -> EngineMisconfigured:
        log.error("engine_misconfigured", engine=self._name, reason=reason)
        self._is_misconfigured = True
        return EngineMisconfigured()


async def probe(url: str, authorize: Authorize) -> str:
    """Ask whether anybody answers at `url`, without a picture. Raises: Overloaded, with what to look at."""
    try:
        await authorize()
        async with httpx.AsyncClient(timeout=PROBE_SECONDS) as client:
            await client.head(url)  # any answer will do: nothing is asked of the model
    except NotAuthorized:
        raise Overloaded("There are no credentials. Run: gcloud auth application-default login") from None
    except (httpx.HTTPError, OSError) as error:
        raise Overloaded(f"The engine does not answer ({type(error).__name__}). Does it run there?") from None
    return "it answers"


def passes(status: int) -> bool:
    """Whether the same request may be answered later."""
    return status in _PASSES or status >= httpx.codes.INTERNAL_SERVER_ERROR


def _inline(jpeg: bytes) -> dict[str, str]:
    return {"bytesBase64Encoded": base64.b64encode(jpeg).decode("ascii")}


def bearer(token: str | None) -> Authorize:
    """A token that never changes; None for an engine that asks for none."""

    async def headers() -> Mapping[str, str]:
        return {"authorization": f"Bearer {token}"} if token else {}

    return headers
