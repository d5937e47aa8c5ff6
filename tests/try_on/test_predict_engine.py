"""Engines behind the `:predict` protocol: every answer and every fault becomes what a generation can work with."""

import base64
import contextlib
import io
import json
import struct
import zlib
from collections.abc import AsyncIterator, Mapping

import google.auth.exceptions
import google.oauth2.credentials
import pytest
from google.auth.credentials import Credentials
from PIL import Image

from adapters.try_on.google_tokens import GoogleTokens
from adapters.try_on.predict_engine import PARAMETERS, Authorize, NotAuthorized, PredictEngine
from domain.errors import (
    ContentFiltered,
    DomainError,
    EngineMisconfigured,
    EngineRefused,
    EngineUnavailable,
    Overloaded,
)
from domain.geometry import Size
from entrypoints.wiring.container import build_engine, vertex_url
from entrypoints.wiring.environment import load_settings
from entrypoints.wiring.settings import Settings
from tests.http.conftest import a_jpeg, an_in_process_processor
from tests.try_on.fake_model import Answer, FakeModel, a_prediction, predictions, running

PERSON, GARMENT, RESULT = a_jpeg(40, 50), a_jpeg(30, 30), a_jpeg(80, 100)
FILTERED = {"raiFilteredReason": "58061214: the photo shows someone who …"}


async def with_a_token() -> Mapping[str, str]:
    return {"authorization": "Bearer a-token"}


@contextlib.asynccontextmanager
async def an_engine(
    model: FakeModel, *, authorize: Authorize = with_a_token, seconds: float = 20
) -> AsyncIterator[PredictEngine]:
    engine = PredictEngine(
        "vertex",
        model.url + "/v1/model:predict",
        authorize=authorize,
        processor=an_in_process_processor(),
        seconds=seconds,
    )
    try:
        yield engine
    finally:
        await engine.close()


async def test_the_request_is_the_one_that_is_documented_and_the_result_is_kept_byte_for_byte() -> None:
    marked = RESULT[:2] + b"\xff\xeb\x00\x08c2pa: " + RESULT[2:]  # marks of origin stay
    with running(a_prediction(marked)) as model:
        async with an_engine(model) as engine:
            picture = await engine.render(PERSON, GARMENT)
    assert (picture.jpeg, picture.size) == (marked, Size(80, 100))
    assert model.paths == ["/v1/model:predict"]
    assert model.headers[0]["authorization"] == "Bearer a-token"
    assert model.headers[0]["content-type"] == "application/json"
    assert model.requests == [
        {
            "instances": [
                {
                    "personImage": {"image": {"bytesBase64Encoded": base64.b64encode(PERSON).decode()}},
                    "productImages": [{"image": {"bytesBase64Encoded": base64.b64encode(GARMENT).decode()}}],
                }
            ],
            "parameters": {
                "sampleCount": 1,
                "baseSteps": 32,
                "addWatermark": True,
                "personGeneration": "allow_adult",
                "safetySetting": "block_medium_and_above",
                "outputOptions": {"mimeType": "image/jpeg", "compressionQuality": 90},
            },
        }
    ]


async def test_a_result_in_another_format_becomes_a_jpeg() -> None:
    out = io.BytesIO()
    Image.new("RGB", (60, 70), (200, 30, 30)).save(out, "PNG")
    with running(a_prediction(out.getvalue(), "image/png")) as model:
        async with an_engine(model) as engine:
            picture = await engine.render(PERSON, GARMENT)
    with Image.open(io.BytesIO(picture.jpeg)) as shown:
        assert (shown.format, shown.size, picture.size) == ("JPEG", (60, 70), Size(60, 70))


def with_size(jpeg: bytes, width: int, height: int) -> bytes:
    """The same file, but its frame header says something else."""
    frame = jpeg.index(b"\xff\xc0") + 5
    return jpeg[:frame] + struct.pack("!HH", height, width) + jpeg[frame + 4 :]


def a_png_header(width: int, height: int) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (1, 1)).save(out, "PNG")
    header = b"IHDR" + struct.pack("!IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return out.getvalue()[:12] + header + struct.pack("!I", zlib.crc32(header)) + out.getvalue()[33:]


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (predictions([FILTERED]), ContentFiltered),
        (predictions([]), ContentFiltered),
        (predictions(None), ContentFiltered),
        (predictions([{"raiFilteredReason": None, "bytesBase64Encoded": None}]), EngineMisconfigured),
        (predictions([{"mimeType": "image/jpeg"}]), EngineMisconfigured),
        (predictions([{"bytesBase64Encoded": "no base64!"}]), EngineMisconfigured),
        (predictions([{"bytesBase64Encoded": "Jörg"}]), EngineMisconfigured),
        (predictions([{"bytesBase64Encoded": 7}]), EngineMisconfigured),
        (a_prediction(b"no picture"), EngineMisconfigured),
        (a_prediction(b""), EngineUnavailable),
        (a_prediction(RESULT[:200]), EngineUnavailable),
        (a_prediction(RESULT[: len(RESULT) // 2]), EngineUnavailable),
        (a_prediction(RESULT[:30] + bytes(len(RESULT) - 30)), EngineUnavailable),
        (a_prediction(with_size(RESULT, 0, 0)), EngineUnavailable),
        (a_prediction(with_size(RESULT, 20_000, 20_000)), EngineMisconfigured),
        (a_prediction(a_png_header(9000, 8000)), EngineMisconfigured),
        (Answer(body=b"<html>"), EngineMisconfigured),
        (Answer(body=b"\xff\xfe"), EngineMisconfigured),
        (Answer(body=b'{"predictions": {}}'), EngineMisconfigured),
        (Answer(body=b"[" * 100_000), EngineMisconfigured),
        (Answer(body=b'{"error": {"code": 429, "message": "later"}}'), EngineUnavailable),
        (Answer(body=b'{"error": {"code": 403}}'), EngineMisconfigured),
        (Answer(body=b'{"error": {"code": 400}}'), EngineRefused),
        (Answer(body=b'{"error": {"message": "CUDA out of memory"}}'), EngineUnavailable),
        (Answer(body=b'{"error": {"code": 200}}'), EngineUnavailable),
        (Answer(body=b'{"error": "out of memory"}'), EngineUnavailable),
        (Answer(400, b'{"error": {"status": "INVALID_ARGUMENT"}}'), EngineRefused),
        (Answer(413), EngineRefused),
        (Answer(422), EngineRefused),
        (Answer(302), EngineMisconfigured),
        (Answer(405), EngineMisconfigured),
        (Answer(401), EngineMisconfigured),
        (Answer(403, b'{"error": {"status": "PERMISSION_DENIED"}}'), EngineMisconfigured),
        (Answer(404, b'{"error": {"status": "NOT_FOUND"}}'), EngineMisconfigured),
        (Answer(408), EngineUnavailable),
        (Answer(429, b'{"error": {"status": "RESOURCE_EXHAUSTED"}}'), EngineUnavailable),
        (Answer(500), EngineUnavailable),
        (Answer(503), EngineUnavailable),
        (Answer(504), EngineUnavailable),
        (Answer(0), EngineUnavailable),
        (Answer(delay_seconds=60), EngineUnavailable),
    ],
)
async def test_every_other_answer_is_an_error_with_a_code_of_its_own(answer: Answer, error: type[DomainError]) -> None:
    with running(answer) as model:
        async with an_engine(model, seconds=0.5 if answer.delay_seconds else 20) as engine:
            with pytest.raises(DomainError) as failure:
                await engine.render(PERSON, GARMENT)
    assert type(failure.value) is error
    assert "photo shows" not in str(failure.value)


async def test_an_engine_that_nobody_listens_for_is_unavailable() -> None:
    with running() as model:
        pass
    async with an_engine(model) as engine:
        with pytest.raises(EngineUnavailable):
            await engine.render(PERSON, GARMENT)


async def test_the_operators_fault_shows_in_readiness_until_it_is_mended() -> None:
    with running(Answer(403), Answer(503), Answer(404), a_prediction(RESULT)) as model:
        async with an_engine(model) as engine:
            await engine.check()
            for _ in range(3):
                with pytest.raises(DomainError):
                    await engine.render(PERSON, GARMENT)
            with pytest.raises(Overloaded):
                await engine.check()
            await engine.render(PERSON, GARMENT)
            await engine.check()


async def test_missing_credentials_are_the_operators_fault_too() -> None:
    async def without_credentials() -> Mapping[str, str]:
        raise NotAuthorized

    with running() as model:
        async with an_engine(model, authorize=without_credentials) as engine:
            with pytest.raises(EngineMisconfigured):
                await engine.render(PERSON, GARMENT)
            with pytest.raises(Overloaded):
                await engine.check()
    assert model.requests == []


class Refreshing(Credentials):
    """Google credentials whose refreshing a test decides about."""

    def __init__(self, *failures: Exception) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # google.auth says py.typed but is not
        self.failures = list(failures)
        self.refreshed = 0

    def refresh(self, request: object) -> None:
        if self.failures:
            raise self.failures.pop(0)
        self.refreshed += 1
        self.token = f"token-{self.refreshed}"


async def test_a_token_is_fetched_once_and_used_until_it_ends() -> None:
    credentials = Refreshing()
    tokens = GoogleTokens(credentials)
    assert [await tokens.headers() for _ in range(3)] == [{"authorization": "Bearer token-1"}] * 3


def wrapped(cause: Exception) -> Exception:
    """As the metadata server's credentials do it."""
    error = google.auth.exceptions.RefreshError(cause)
    error.__cause__ = cause
    return error


DOWN = google.auth.exceptions.TransportError("down")


@pytest.mark.parametrize(
    ("failure", "error"),
    [
        (DOWN, EngineUnavailable),
        (wrapped(DOWN), EngineUnavailable),
        (google.auth.exceptions.RefreshError("server_error", retryable=True), EngineUnavailable),
        (google.auth.exceptions.RefreshError("invalid_grant"), NotAuthorized),
        (google.auth.exceptions.DefaultCredentialsError("none"), NotAuthorized),
    ],
)
async def test_a_token_that_cannot_be_had_now_or_ever(failure: Exception, error: type[Exception]) -> None:
    tokens = GoogleTokens(Refreshing(failure))
    with pytest.raises(error):
        await tokens.headers()
    assert await tokens.headers() == {"authorization": "Bearer token-1"}


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (Answer(503, b"try again"), EngineUnavailable),
        (Answer(429), EngineUnavailable),
        (Answer(0), EngineUnavailable),
        (Answer(400, b'{"error": "invalid_grant"}'), NotAuthorized),
        (Answer(401, b'{"error": "unauthorized_client"}'), NotAuthorized),
    ],
)
async def test_a_hiccup_of_the_token_endpoint_is_an_outage_and_a_refusal_is_none(
    answer: Answer, error: type[Exception]
) -> None:
    with running(*[answer] * 5) as endpoint:  # google.auth tries some of them again by itself
        user = google.oauth2.credentials.Credentials(
            None, refresh_token="r", token_uri=endpoint.url, client_id="c", client_secret="s"
        )
        with pytest.raises(error):
            await GoogleTokens(user).headers()


def test_the_model_the_project_and_the_region_are_settings() -> None:
    settings = load_settings(
        {
            "TRYON_ENGINE": "vertex",
            "TRYON_VERTEX_PROJECT": "acme",
            "TRYON_VERTEX_REGION": "europe-west4",
            "TRYON_VERTEX_MODEL": "virtual-try-on-002",
        }
    )
    assert vertex_url(settings) == (
        "https://europe-west4-aiplatform.googleapis.com/v1/projects/acme/locations/europe-west4"
        "/publishers/google/models/virtual-try-on-002:predict"
    )


async def test_a_model_of_ones_own_is_sent_the_same_json_without_credentials() -> None:
    with running(a_prediction(RESULT)) as model:
        settings = Settings(engine="http", engine_url=model.url + "/predict")
        engine = build_engine(settings, an_in_process_processor())
        picture = await engine.render(PERSON, GARMENT)
        await engine.close()
    assert (engine.name, picture.jpeg) == ("http", RESULT)
    assert "authorization" not in model.headers[0]
    assert list(model.requests[0]) == ["instances", "parameters"]
    assert json.dumps(model.requests[0]["parameters"]) == json.dumps(PARAMETERS)
