"""The upload's form for the API reference: its handler reads the stream itself, so no type tells of it."""

from typing import Final

from litestar.openapi.spec import OpenAPIMediaType, Parameter, RequestBody, Schema
from litestar.openapi.spec.encoding import Encoding
from litestar.openapi.spec.enums import OpenAPIFormat, OpenAPIType

from domain.customer import MAX_EXTERNAL_ID_CHARS
from domain.retention import RetentionPolicy

_DAYS: Final = sorted(RetentionPolicy.ALLOWED_DAYS)
_NO_NUL: Final = r"^[^\x00]*$"

_FIELDS: Final = {
    "file": Schema(
        type=OpenAPIType.STRING,
        format=OpenAPIFormat.BINARY,
        description="The customer's photo: JPEG, PNG, WebP or HEIC/HEIF, at most 10 MB (10 × 1024 × 1024 bytes).",
    ),
    "crop": Schema(
        type=OpenAPIType.BOOLEAN,
        default=True,
        description="Cut 4:5 around the person; `false` keeps the framing. `1` and `0` do as well.",
    ),
    "externalUserId": Schema(
        type=OpenAPIType.STRING,
        max_length=MAX_EXTERNAL_ID_CHARS,
        pattern=_NO_NUL,
        description="Your own opaque id of the end user: the key of `DELETE /customers/{customerId}`.",
        examples=["gid://shopify/Customer/1"],
    ),
    "keepForDays": Schema(
        type=OpenAPIType.INTEGER,
        enum=_DAYS,
        description="The image is gone this many days after the upload. The account's own window when it is not sent.",
    ),
    "customerId": Schema(
        type=OpenAPIType.STRING,
        max_length=MAX_EXTERNAL_ID_CHARS,
        pattern=_NO_NUL,
        deprecated=True,
        description="Deprecated: send `externalUserId`. Must not contradict it.",
    ),
    "retentionDays": Schema(
        type=OpenAPIType.INTEGER,
        enum=_DAYS,
        deprecated=True,
        description="Deprecated: send `keepForDays`. Must not contradict it.",
    ),
}

UPLOAD_FORM: Final = RequestBody(
    required=True,
    description="A form with the photo in a part named `file`.",
    content={
        "multipart/form-data": OpenAPIMediaType(
            Schema(type=OpenAPIType.OBJECT, properties=dict(_FIELDS), required=["file"]),
            encoding={"file": Encoding(content_type="image/jpeg, image/png, image/webp, image/heic, image/heif")},
        )
    },
)

IDEMPOTENCY_KEY: Final = Parameter(
    name="Idempotency-Key",
    param_in="header",
    description="Sent again within 24 hours, it returns the first result, with a fresh link; nothing is stored twice.",
    schema=Schema(type=OpenAPIType.STRING, min_length=1, max_length=255),
    example="8e03978e-40d5-43e8-bc93-6894a57f9324",
)
