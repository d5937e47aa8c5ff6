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
from msgspec import UNSET, UnsetType

from adapters.imaging.jpeg_headers import scan_jpeg
from adapters.imaging.sniffing import sniff
from application.ports.photos import PhotoProcessor
from application.ports.try_on import TryOnEngine, TryOnPicture
from domain.errors import (
    ContentFiltered,
    EngineMisconfigured,
    EngineRefused,
    EngineUnavailable,
    InvalidImage,
    Overloaded,
    UnsupportedImageFormat,
)
from domain.photo import SourceFormat

log = structlog.get_logger()

Authorize = Callable[[], Awaitable[Mapping[str, str]]]

MAX_ANSWER_BYTES: Final = 40 * 1024 * 1024
"""A PNG of 4 megapixels in base64 takes some 16 MB; more is no picture that anybody asked for."""
_OPERATORS_FAULT: Final = frozenset({401, 403, 404})
_PASSES: Final = frozenset({408, 429})


class NotAuthorized(Exception):
    """There are no credentials, or they were refused."""


class _Prediction(msgspec.Struct):
    bytes_base64_encoded: str | UnsetType = msgspec.field(name="bytesBase64Encoded", default=UNSET)
    rai_filtered_reason: str | UnsetType = msgspec.field(name="raiFilteredReason", default=UNSET)


class _Answer(msgspec.Struct):
    predictions: list[_Prediction] = []


_answers: Final = msgspec.json.Decoder(_Answer)


class PredictEngine(TryOnEngine):
    """POSTs the two pictures to `url` and keeps the first prediction.

    A JPEG is kept byte for byte, with its marks of origin (C2PA, SynthID); anything else goes through the photo workers
    and becomes one. `parameters` are sent along as they are. Retrying is the queue's business.
    """

    def __init__(
        self,
        name: str,
        url: str,
        *,
        authorize: Authorize,
        processor: PhotoProcessor,
        parameters: Mapping[str, Any],
        seconds: float,
    ) -> None:
        self._name = name
        self._url = url
        self._authorize = authorize
        self._processor = processor
        self._parameters = parameters
        self._client = httpx.AsyncClient(timeout=seconds, follow_redirects=False)
        self._is_misconfigured = False

    @property
    def name(self) -> str:
        return self._name

    async def render(self, person_jpeg: bytes, garment_jpeg: bytes) -> TryOnPicture:
        """Raises: ContentFiltered, EngineRefused, EngineMisconfigured: final. EngineUnavailable, Overloaded."""
        request = {
            "instances": [
                {"personImage": {"image": _inline(person_jpeg)}, "productImages": [{"image": _inline(garment_jpeg)}]}
            ],
            "parameters": self._parameters,
        }
        answer = await self._post(await asyncio.to_thread(msgspec.json.encode, request))
        try:
            predictions = _answers.decode(answer).predictions
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise EngineRefused from None
        if not predictions or predictions[0].rai_filtered_reason is not UNSET:
            raise ContentFiltered  # the reason is for the operator of the model; it describes the photo
        return await self._picture(predictions[0].bytes_base64_encoded)

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
                return await _limited(response)
        except NotAuthorized:
            log.error("engine_misconfigured", engine=self._name, reason="no credentials")  # noqa: TRY400
            self._is_misconfigured = True
            raise EngineMisconfigured from None
        except (httpx.HTTPError, OSError) as error:
            log.warning("engine_unavailable", engine=self._name, reason=type(error).__name__)
            raise EngineUnavailable from None

    def _judge(self, status: int) -> None:
        self._is_misconfigured = status in _OPERATORS_FAULT
        if self._is_misconfigured:
            log.error("engine_misconfigured", engine=self._name, status=status)
            raise EngineMisconfigured
        if status in _PASSES or status >= httpx.codes.INTERNAL_SERVER_ERROR:
            log.warning("engine_unavailable", engine=self._name, status=status)
            raise EngineUnavailable
        if status != httpx.codes.OK:
            log.warning("engine_refused", engine=self._name, status=status)
            raise EngineRefused

    async def _picture(self, encoded: str | UnsetType) -> TryOnPicture:
        if encoded is UNSET:
            raise EngineRefused
        try:
            picture = base64.b64decode(encoded, validate=True)
            if sniff(picture) is SourceFormat.JPEG:
                return TryOnPicture(picture, scan_jpeg(picture).stored_size)
            prepared = await self._processor.prepare(picture, crop=False)
        except (binascii.Error, ValueError, InvalidImage, UnsupportedImageFormat):
            raise EngineRefused from None
        return TryOnPicture(prepared.jpeg, prepared.size)


def _inline(jpeg: bytes) -> dict[str, str]:
    return {"bytesBase64Encoded": base64.b64encode(jpeg).decode("ascii")}


async def _limited(response: httpx.Response) -> bytes:
    body = bytearray()
    async for chunk in response.aiter_bytes():
        body += chunk
        if len(body) > MAX_ANSWER_BYTES:
            raise EngineRefused
    return bytes(body)
