"""The try-on's request for the API reference: its handler reads the body itself, so no type tells of it."""

from typing import Final

from litestar.openapi.spec import Example, OpenAPIMediaType, RequestBody, Schema
from litestar.openapi.spec.enums import OpenAPIType

from domain.customer import MAX_EXTERNAL_ID_CHARS
from domain.retention import RetentionPolicy
from entrypoints.http.try_on_request import MAX_GARMENTS, MAX_ID_CHARS, MAX_URL_CHARS

_NO_NUL: Final = r"^[^\x00]*$"


def _own_id(description: str) -> Schema:
    return Schema(
        type=OpenAPIType.STRING,
        min_length=1,
        max_length=MAX_EXTERNAL_ID_CHARS,
        pattern=_NO_NUL,
        description=description,
    )


_SOURCE: Final = Schema(
    type=OpenAPIType.OBJECT,
    description="Exactly one of the three.",
    min_properties=1,
    max_properties=1,
    additional_properties=False,
    properties={
        "url": Schema(
            type=OpenAPIType.STRING,
            max_length=MAX_URL_CHARS,
            pattern=r"^https://[a-z0-9.-]+\.[a-z]+(/[A-Za-z0-9._~/-]*)?$",
            description="Public and https; or an `imageUrl` of ours.",
        ),
        "fileKey": Schema(
            type=OpenAPIType.STRING,
            min_length=1,
            max_length=MAX_ID_CHARS,
            pattern=_NO_NUL,
            description="The name of a file part of the form.",
        ),
        "id": Schema(
            type=OpenAPIType.STRING,
            min_length=1,
            max_length=MAX_ID_CHARS,
            pattern=_NO_NUL,
            description="An `imageId`: used as it is kept, with no second download.",
        ),
    },
)
_IMAGE: Final = Schema(type=OpenAPIType.OBJECT, required=["source"], properties={"source": _SOURCE})
_PRODUCT: Final = Schema(
    type=OpenAPIType.OBJECT,
    description="May come by its `externalId` alone within 15 days of its last use.",
    properties={
        "externalId": _own_id("Your own id of the product. One is made for you without it."),
        "title": Schema(type=OpenAPIType.STRING),
        "description": Schema(type=OpenAPIType.STRING),
        "images": Schema(
            type=OpenAPIType.ARRAY,
            items=_IMAGE,
            max_items=MAX_GARMENTS,
            description="Pictures of the one garment, the best first.",
        ),
    },
)
_REQUEST: Final = Schema(
    type=OpenAPIType.OBJECT,
    required=["products", "person"],
    properties={
        "products": Schema(type=OpenAPIType.ARRAY, items=_PRODUCT, min_items=1, max_items=1),
        "person": Schema(type=OpenAPIType.OBJECT, required=["image"], properties={"image": _IMAGE}),
        "externalUserId": _own_id("Your own opaque id of the end user; erases the result, too."),
        "output": Schema(
            type=OpenAPIType.OBJECT,
            properties={
                "keepForDays": Schema(
                    type=OpenAPIType.INTEGER,
                    enum=list(RetentionPolicy.ALLOWED_DAYS),
                    description="For the result, and for a photo that comes with this request.",
                )
            },
        ),
    },
)
_BY_ID: Final = {
    "products": [{"externalId": "shirt-1", "images": [{"source": {"url": "https://shop.example.com/shirt.jpg"}}]}],
    "person": {"image": {"source": {"id": "img_4kTq9ZcX1vJw7sN2bRfLgA"}}},
}

TRY_ON: Final = RequestBody(
    required=True,
    description="JSON; or a form with the JSON in a part named `data` and files in parts named by their `fileKey`. "
    "All former shapes are understood, too: `product`, `customer`, `imageUrls`, `customerId`, `retentionDays`.",
    content={
        "application/json": OpenAPIMediaType(_REQUEST, examples={"by id": Example(summary="By id", value=_BY_ID)}),
        "multipart/form-data": OpenAPIMediaType(
            Schema(
                type=OpenAPIType.OBJECT,
                properties={"data": Schema(type=OpenAPIType.STRING, description="The JSON of the request.")},
                required=["data"],
            )
        ),
    },
)
