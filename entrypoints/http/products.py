"""The routes of products."""

import base64
import binascii
from typing import Final

from litestar import Response, delete, get, post
from litestar.di import NamedDependency

from domain.customer import EXTERNAL_ID_HAS, is_external_id
from domain.errors import FieldProblem, ValidationFailed
from entrypoints.http.admission import RequestWithKey
from entrypoints.http.request_parts import Cursor, Limit, id_at_the_end, page_limit, receiving
from entrypoints.http.schemas import ProductBody, ProductPageBody
from entrypoints.http.service import Service
from entrypoints.http.try_on import read_data_and_files
from entrypoints.http.try_on_request import to_registration

PREFIX: Final = "/tryon/v1/products/"
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
) -> ProductPageBody:
    """In the order of their ids."""
    products, has_more = await service.read_products.page(
        request.user.account_id, _after(cursor), page_limit(limit, 50, MAX_PRODUCTS)
    )
    items = [ProductBody.of(product) for product in products]
    page = ProductPageBody(items=items, has_more=has_more, count=len(items))
    if not has_more:
        return page
    next_cursor = base64.urlsafe_b64encode(products[-1].external_id.encode()).decode()
    return ProductPageBody(items=items, has_more=True, count=len(items), next_cursor=next_cursor)


@get("/products/{externalId:path}", operation_id="getProduct")
async def read_product(request: RequestWithKey, service: NamedDependency[Service]) -> ProductBody:
    """What is known of a product."""
    return ProductBody.of(await service.read_products.one(request.user.account_id, _id_in_path(request)))


@delete("/products/{externalId:path}", operation_id="deleteProduct")
async def delete_product(request: RequestWithKey, service: NamedDependency[Service]) -> None:
    """Delete a product; idempotent."""
    await service.delete_product.execute(request.user.account_id, _id_in_path(request))


def _id_in_path(request: RequestWithKey) -> str:
    external_id = id_at_the_end(request, "externalId", PREFIX)
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
