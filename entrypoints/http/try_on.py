"""The routes of try-ons, of the credits that they take, and of the products that are tried on."""

import base64
import binascii
from collections.abc import AsyncIterator
from typing import Annotated, Final

from litestar import Response, delete, get, post
from litestar.di import NamedDependency
from litestar.params import PathParameter

from application.ports.system import RateBucket
from application.start_try_on import StartedTryOn
from domain.customer import EXTERNAL_ID_HAS, is_external_id
from domain.errors import FieldProblem, FileTooLarge, GenerationNotFound, ValidationFailed
from domain.generation import GenerationId
from entrypoints.http.admission import RATE_BUCKET, RequestWithKey
from entrypoints.http.form_parts import Content, PartLimit, is_form, malformed_body, read_parts
from entrypoints.http.request_parts import (
    MAX_JSON_BYTES,
    Cursor,
    Limit,
    id_at_the_end,
    page_limit,
    read_json,
    receiving,
    too_much_json,
)
from entrypoints.http.schemas import GenerationBody, PageBody, ProductBody, StartedTryOnBody
from entrypoints.http.service import Service
from entrypoints.http.try_on_request import to_command, to_registration
from entrypoints.http.upload_form import shown
from entrypoints.wiring.settings import API_PATH

DATA = "data"
POLL_SECONDS: Final = 2
"""How often clients ask for a generation (HTTP contract)."""
WAIT_SECONDS: Final = 90
"""How long a client may wait for a generation with its request open (HTTP contract)."""
MAX_GENERATIONS: Final = 100
WITHOUT_LIMIT: Final = 1_000_000
"""What an account without a limit is told: clients compare numbers (HTTP contract)."""


@post("/try-on", operation_id="startTryOn", status_code=202)
async def start_try_on(request: RequestWithKey, service: NamedDependency[Service]) -> Response[StartedTryOnBody]:
    """Have a person wear a product: JSON, or a form with the JSON in `data` and files in parts named by `fileKey`."""
    return _accepted(StartedTryOnBody.of(await _start(request, service)))


@post("/try-on/sync", operation_id="tryOn", status_code=200)
async def try_on(
    request: RequestWithKey, service: NamedDependency[Service]
) -> Response[StartedTryOnBody] | Response[GenerationBody]:
    """The same, and wait for the picture. A client that leaves ends the waiting, and not the generation."""
    started = await _start(request, service)
    report = await service.await_generation.execute(
        started.generation_id, request.user.account_id, WAIT_SECONDS, lambda: _left(request)
    )
    if report.generation.has_ended:
        return Response(GenerationBody.of(report), status_code=200)
    return _accepted(StartedTryOnBody.of(started, report.generation.status))


@get("/account/credits", operation_id="getCredits", sync_to_thread=False)
def read_credits(request: RequestWithKey) -> dict[str, int]:
    """How many try-ons are left."""
    credits_left = request.user.credits
    return {"creditBalance": WITHOUT_LIMIT if credits_left is None else credits_left}


@get("/generations/{generationId:str}", operation_id="getGeneration", opt={RATE_BUCKET: RateBucket.POLLS})
async def read_generation(
    request: RequestWithKey,
    generation_id: Annotated[str, PathParameter(name="generationId")],
    service: NamedDependency[Service],
) -> GenerationBody:
    """How far a try-on is; ask every two seconds."""
    return GenerationBody.of(
        await service.read_generation.execute(GenerationId(generation_id), request.user.account_id)
    )


@get("/generations", operation_id="listGenerations")
async def list_generations(
    request: RequestWithKey, service: NamedDependency[Service], limit: Limit = None, cursor: Cursor = None
) -> PageBody:
    """Newest first."""
    before = GenerationId(cursor) if cursor else None
    try:
        reports, has_more = await service.read_generation.page(
            request.user.account_id, before, page_limit(limit, 10, MAX_GENERATIONS)
        )
    except GenerationNotFound:
        raise ValidationFailed((FieldProblem("cursor", "is not the nextCursor of a page"),)) from None
    items = [GenerationBody.of(report) for report in reports]
    next_cursor = items[-1].generation_id if has_more else None
    return PageBody(items=items, has_more=has_more, next_cursor=next_cursor)


async def _start(request: RequestWithKey, service: Service) -> StartedTryOn:
    async with receiving(request, service) as body:
        data, files = await read_data_and_files(request, body, service)
        command = to_command(data, files, request.user, request.headers.get("idempotency-key"), service.pseudonyms)
        return await service.start_try_on.execute(command)


async def _left(request: RequestWithKey) -> None:
    """Returns when the client has left."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _accepted(body: StartedTryOnBody) -> Response[StartedTryOnBody]:
    return Response(body, status_code=202, headers={"retry-after": str(POLL_SECONDS)})


async def read_data_and_files(
    request: RequestWithKey, body: AsyncIterator[bytes], service: Service
) -> tuple[bytes | bytearray, dict[str, Content]]:
    """The JSON of a request, and the files that came beside it. Raises: ValidationFailed, FileTooLarge."""
    content_type = request.headers.get("content-type", "")
    if not is_form(content_type):
        return await read_json(body), {}
    return await _read_form(content_type, body, service.settings.max_file_bytes)


async def _read_form(
    content_type: str, stream: AsyncIterator[bytes], max_file_bytes: int
) -> tuple[bytes | bytearray, dict[str, Content]]:
    def limit_of(name: str) -> PartLimit:
        if name == DATA:
            return PartLimit(MAX_JSON_BYTES, too_much_json())
        return PartLimit(max_file_bytes, FileTooLarge(max_file_bytes, path=name))

    parts = await read_parts(content_type, stream, limit_of, advice="or send JSON")
    files: dict[str, Content] = {}
    for name, content in parts:
        files.setdefault(name, content)
    data = files.pop(DATA, None)
    if data is None:
        came = ", ".join(shown(name) for name in files) or "none"
        raise malformed_body(f'has no part named "data" with the JSON of the request; the parts were: {came}')
    return bytes(data), files


PRODUCTS: Final = f"{API_PATH}/products/"
MAX_PRODUCTS: Final = 200


@post("/products", operation_id="registerProduct", status_code=201)
async def register_product(request: RequestWithKey, service: NamedDependency[Service]) -> Response[ProductBody]:
    """Keep a product and its pictures; 200 when there was one with the same id."""
    async with receiving(request, service) as body:
        data, files = await read_data_and_files(request, body, service)
        wanted, valid_for, record = to_registration(
            data, files, request.user, request.headers.get("idempotency-key"), service.pseudonyms
        )
        registered = await service.register_product.execute(wanted, valid_for, record)
    return Response(ProductBody.of(registered.product), status_code=201 if registered.is_new else 200)


@get("/products", operation_id="listProducts")
async def list_products(
    request: RequestWithKey, service: NamedDependency[Service], limit: Limit = None, cursor: Cursor = None
) -> PageBody:
    """In the order of their ids."""
    products, has_more = await service.read_products.page(
        request.user.account_id, _after(cursor), page_limit(limit, 50, MAX_PRODUCTS)
    )
    items = [ProductBody.of(product) for product in products]
    next_cursor = base64.urlsafe_b64encode(products[-1].external_id.encode()).decode() if has_more else None
    return PageBody(items=items, has_more=has_more, count=len(items), next_cursor=next_cursor)


@get("/products/{externalId:path}", operation_id="getProduct")
async def read_product(request: RequestWithKey, service: NamedDependency[Service]) -> ProductBody:
    """What is known of a product."""
    return ProductBody.of(await service.read_products.one(request.user.account_id, _id_in_path(request)))


@delete("/products/{externalId:path}", operation_id="deleteProduct")
async def delete_product(request: RequestWithKey, service: NamedDependency[Service]) -> None:
    """Delete a product; idempotent."""
    await service.delete_product.execute(request.user.account_id, _id_in_path(request))


def _id_in_path(request: RequestWithKey) -> str:
    external_id = id_at_the_end(request, "externalId", PRODUCTS)
    if not is_external_id(external_id):
        raise ValidationFailed((FieldProblem("externalId", f"must have {EXTERNAL_ID_HAS}"),))
    return external_id


def _after(cursor: str | None) -> str:
    if not cursor:
        return ""
    try:
        after = base64.b64decode(cursor, altchars=b"-_", validate=True).decode()
    except (binascii.Error, ValueError):
        after = ""
    if not is_external_id(after):
        raise ValidationFailed((FieldProblem("cursor", "is not the nextCursor of a page"),))
    return after
