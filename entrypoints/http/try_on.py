"""The routes of try-ons."""

from collections.abc import AsyncIterator
from typing import Annotated, Final

from litestar import Response, get, post
from litestar.di import NamedDependency
from litestar.params import PathParameter

from application.ports.system import RateBucket
from domain.errors import FileTooLarge, ValidationFailed
from domain.generation import GenerationId
from entrypoints.http.api_key import RATE_BUCKET, RequestWithKey
from entrypoints.http.form_parts import PartLimit, is_form, malformed_body, read_parts
from entrypoints.http.request_body import receiving
from entrypoints.http.schemas import GenerationBody, StartedTryOnBody
from entrypoints.http.service import Service
from entrypoints.http.try_on_request import MAX_DATA_BYTES, to_command

DATA = "data"
POLL_SECONDS: Final = 2
"""How often clients ask for a generation (HTTP contract)."""
MAX_FILES_AT_ONCE: Final = 3
"""A form holds as many bytes as three of the largest files, however many parts they come in: a person and two views of
a garment in full size, or nine files as shops have them."""


@post(
    "/try-on",
    operation_id="startTryOn",
    status_code=202,
)
async def start_try_on(request: RequestWithKey, service: NamedDependency[Service]) -> Response[StartedTryOnBody]:
    """Have a person wear a product: JSON, or a form with the JSON in `data` and files in parts named by `fileKey`."""
    content_type = request.headers.get("content-type", "")
    settings = service.settings
    async with receiving(request, service) as body:
        data, files = await _read(content_type, body, settings.max_file_bytes)
        started = StartedTryOnBody.of(await service.start_try_on.execute(to_command(data, files, request.user)))
    return Response(started, status_code=202, headers={"retry-after": str(POLL_SECONDS)})


@get(
    "/generations/{generationId:str}",
    operation_id="getGeneration",
    opt={RATE_BUCKET: RateBucket.POLLS},
)
async def read_generation(
    request: RequestWithKey,
    generation_id: Annotated[str, PathParameter(name="generationId")],
    service: NamedDependency[Service],
) -> GenerationBody:
    """How far a try-on is; ask every two seconds."""
    return GenerationBody.of(
        await service.read_generation.execute(GenerationId(generation_id), request.user.account_id)
    )


async def _read(
    content_type: str, stream: AsyncIterator[bytes], max_file_bytes: int
) -> tuple[bytes | bytearray, dict[str, bytes]]:
    if not is_form(content_type):
        return await _read_json(stream), {}
    return await _read_form(content_type, stream, max_file_bytes)


async def _read_json(stream: AsyncIterator[bytes]) -> bytearray:
    data = bytearray()
    async for chunk in stream:
        data += chunk
        if len(data) > MAX_DATA_BYTES:
            raise _too_much_json()
    return data


async def _read_form(
    content_type: str, stream: AsyncIterator[bytes], max_file_bytes: int
) -> tuple[bytes | bytearray, dict[str, bytes]]:
    def limit_of(name: str) -> PartLimit:
        if name == DATA:
            return PartLimit(MAX_DATA_BYTES, _too_much_json())
        return PartLimit(max_file_bytes, FileTooLarge(max_file_bytes))

    parts = await read_parts(content_type, stream, limit_of, advice="or send JSON")
    files: dict[str, bytes] = {}
    for name, content in parts:
        files.setdefault(name, content)
    data = files.pop(DATA, None)
    if data is None:
        raise malformed_body('has no part named "data" with the JSON of the request')
    return data, files


def _too_much_json() -> ValidationFailed:
    return malformed_body(f"has more than {MAX_DATA_BYTES:,} bytes of JSON")
