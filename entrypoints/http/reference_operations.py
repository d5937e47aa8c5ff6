"""What the API reference says of each operation beyond what its handler's types tell."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar, Final

from litestar.openapi.spec import (
    Example,
    OpenAPIHeader,
    OpenAPIMediaType,
    OpenAPIResponse,
    Operation,
    Parameter,
    Reference,
    RequestBody,
    Schema,
)
from litestar.openapi.spec.enums import OpenAPIFormat, OpenAPIType

from domain.customer import MAX_EXTERNAL_ID_CHARS
from entrypoints.http import reference_examples as examples
from entrypoints.http.reference_try_on import TRY_ON
from entrypoints.http.reference_upload_form import IDEMPOTENCY_KEY, UPLOAD_FORM

IMAGES: Final = "Images"
CUSTOMERS: Final = "Customers"
TRY_ONS: Final = "Try-ons"
HEALTH: Final = "Health"

REQUEST_ID_HEADER: Final = "x-request-id"
RETRY_AFTER_HEADER: Final = "Retry-After"
RATE_LIMIT_HEADER: Final = "RateLimit"
RATE_LIMIT_POLICY_HEADER: Final = "RateLimit-Policy"
HEADERS: Final = {
    REQUEST_ID_HEADER: OpenAPIHeader(
        description="Names the request in our logs. Yours comes back if it has 8 to 64 letters, digits, `.`, `_`, `-`.",
        required=True,
        schema=Schema(type=OpenAPIType.STRING),
    ),
    RETRY_AFTER_HEADER: OpenAPIHeader(
        description="Try again after this many seconds.", schema=Schema(type=OpenAPIType.INTEGER, minimum=0)
    ),
    RATE_LIMIT_HEADER: OpenAPIHeader(
        description="What your account has left (`r`), and in how many seconds it has everything again (`t`): "
        '`"requests";r=99;t=1`. '
        "Left out when the account has no limit.",
        schema=Schema(type=OpenAPIType.STRING),
    ),
    RATE_LIMIT_POLICY_HEADER: OpenAPIHeader(
        description='How many requests (`q`) in how many seconds (`w`): `"requests";q=100;w=60`. '
        "draft-ietf-httpapi-ratelimit-headers-10.",
        schema=Schema(type=OpenAPIType.STRING),
    ),
}
"""Components that every operation refers to."""

_BEFORE_COUNTING: Final = frozenset({"401"})
_WITH_RETRY_AFTER: Final = frozenset({"202", "409", "429", "503"})
_IMAGE_ID: Final = Parameter(
    name="imageId",
    param_in="path",
    required=True,
    description="As the upload returned it.",
    schema=Schema(type=OpenAPIType.STRING, min_length=1, pattern="^[A-Za-z0-9_-]+$"),
    example=examples.IMAGE_ID,
)
_GENERATION_ID: Final = Parameter(
    name="generationId",
    param_in="path",
    required=True,
    description="As the try-on returned it.",
    schema=Schema(type=OpenAPIType.STRING, min_length=1, pattern="^[A-Za-z0-9_-]+$"),
    example=examples.GENERATION_ID,
)
_CUSTOMER_ID: Final = Parameter(
    name="customerId",
    param_in="path",
    required=True,
    description="What uploads carried as `externalUserId`, percent-encoded as one path segment: "
    "`gid://shopify/Customer/1` is sent as `gid%3A%2F%2Fshopify%2FCustomer%2F1`. It is compared byte for byte.",
    schema=Schema(type=OpenAPIType.STRING, min_length=1, max_length=MAX_EXTERNAL_ID_CHARS, pattern=r"^[^\x00]+$"),
    example="gid://shopify/Customer/1",
)


def _link_part(name: str, example: str) -> Parameter:
    return Parameter(
        name=name,
        param_in="query",
        required=True,
        schema=Schema(type=OpenAPIType.STRING, min_length=1),
        example=example,
    )


@dataclass
class DocumentedOperation(Operation):
    """An operation with its words; refusals come from its handler's `responses`."""

    tag: ClassVar[str]
    heading: ClassVar[str]
    text: ClassVar[str]
    inputs: ClassVar[tuple[Parameter, ...]] = ()
    form: ClassVar[RequestBody | None] = None
    successes: ClassVar[Mapping[str, OpenAPIResponse]]

    def __post_init__(self) -> None:
        self.tags = [self.tag]
        self.summary, self.description = self.heading, self.text
        self.parameters = list(self.inputs) or None
        self.request_body = self.form
        refusals = {
            status: _with_examples_named(response)
            for status, response in (self.responses or {}).items()
            if isinstance(response, OpenAPIResponse) and status not in self.successes and _is_refusal(response)
        }
        self.responses = {
            status: replace(response, headers=_headers(status, response, is_counted="429" in refusals))
            for status, response in sorted((dict(self.successes) | refusals).items())
        }


def _is_refusal(response: OpenAPIResponse) -> bool:
    """What the handler declared, and not the 400 in the framework's own inline shape, which is never sent."""
    return any(isinstance(media_type.schema, Reference) for media_type in (response.content or {}).values())


def _with_examples_named(response: OpenAPIResponse) -> OpenAPIResponse:
    """Without the framework's `id`, which an OpenAPI example has not."""
    content = {
        kind: replace(
            media_type, examples={name: _nameless(each) for name, each in (media_type.examples or {}).items()}
        )
        for kind, media_type in (response.content or {}).items()
    }
    return replace(response, content=content)


def _nameless(example: Example | Reference) -> Example | Reference:
    return replace(example, id=None) if isinstance(example, Example) else example


def _headers(status: str, response: OpenAPIResponse, *, is_counted: bool) -> dict[str, OpenAPIHeader | Reference]:
    names = [REQUEST_ID_HEADER]
    if status in _WITH_RETRY_AFTER:
        names.append(RETRY_AFTER_HEADER)
    if is_counted and status not in _BEFORE_COUNTING:
        names += [RATE_LIMIT_HEADER, RATE_LIMIT_POLICY_HEADER]
    return dict(response.headers or {}) | {name: Reference(ref=f"#/components/headers/{name}") for name in names}


def _json(description: str, struct: str, shown: Mapping[str, Example]) -> OpenAPIResponse:
    schema = Reference(ref=f"#/components/schemas/{struct}")
    return OpenAPIResponse(description, content={"application/json": OpenAPIMediaType(schema, examples=dict(shown))})


@dataclass
class UploadImageOperation(DocumentedOperation):
    """POST /images/upload."""

    tag = IMAGES
    heading = "Upload a photo"
    text = (
        "Makes the picture that try-on works with: upright, sRGB, baseline JPEG, longest edge at most 2000 pixels, "
        "never scaled up, without any metadata; by default cut 4:5 around the person. What may spoil a try-on is told "
        "in `warnings`, in words for the customer.\n\nThe format is decided from the bytes, never from a name. "
        "Unknown form fields are ignored; an empty optional field counts as not sent."
    )
    inputs = (IDEMPOTENCY_KEY,)
    form = UPLOAD_FORM
    successes: ClassVar = {
        "201": _json(
            "The picture is kept; or was, by an earlier request of the same key.", "ImageBody", examples.IMAGES
        )
    }


@dataclass
class GetImageOperation(DocumentedOperation):
    """GET /images/{imageId}."""

    tag = IMAGES
    heading = "Look an image up"
    text = "The same body as after the upload, with a fresh `imageUrl`."
    inputs = (_IMAGE_ID,)
    successes: ClassVar = {"200": _json("The image.", "ImageBody", examples.IMAGES)}


@dataclass
class DeleteImageOperation(DocumentedOperation):
    """DELETE /images/{imageId}."""

    tag = IMAGES
    heading = "Delete an image"
    text = "Its bytes, its row and its links are gone at once. Idempotent: deleting twice is the same as deleting once."
    inputs = (_IMAGE_ID,)
    successes: ClassVar = {"204": OpenAPIResponse("There is no such image any more, or never was.")}


@dataclass
class GetPreviewOperation(DocumentedOperation):
    """GET /previews/{imageId}: what `imageUrl` points to where storage cannot serve its objects itself."""

    tag = IMAGES
    heading = "See the picture"
    text = (
        "Where `imageUrl` leads to with storage that signs no links of its own. Follow `imageUrl` as it is and make no "
        "such link yourself. Needs no API key."
    )
    inputs = (
        _IMAGE_ID,
        _link_part("account", examples.ACCOUNT_ID),
        _link_part("expires", examples.EXPIRES),
        _link_part("signature", examples.SIGNATURE),
    )
    successes: ClassVar = {
        "200": OpenAPIResponse(
            "The stored picture.",
            headers={
                "Cache-Control": OpenAPIHeader(
                    description="Always `private, no-store`.", required=True, schema=Schema(type=OpenAPIType.STRING)
                )
            },
            content={"image/jpeg": OpenAPIMediaType(Schema(type=OpenAPIType.STRING, format=OpenAPIFormat.BINARY))},
        )
    }


@dataclass
class EraseCustomerOperation(DocumentedOperation):
    """DELETE /customers/{customerId}."""

    tag = CUSTOMERS
    heading = "Erase a customer"
    text = (
        "Everything this account ever sent of one end user: images, results, links, idempotency records "
        "(GDPR Art. 17). Idempotent, also when nothing matches. An upload of the same customer that is in flight does "
        "not survive it; one that starts afterwards does."
    )
    inputs = (_CUSTOMER_ID,)
    successes: ClassVar = {
        "202": OpenAPIResponse(
            "Storage is down: the images are unreachable from now on, and their bytes go as soon as it is back."
        ),
        "204": OpenAPIResponse("Nothing of this customer is left, or ever was there."),
    }


@dataclass
class StartTryOnOperation(DocumentedOperation):
    """POST /try-on."""

    tag = TRY_ONS
    heading = "Have a person wear a product"
    text = (
        "Answers at once; the picture is made in the background. Poll `GET /generations/{generationId}` every two "
        "seconds. A photo that comes by `url` or `fileKey` is treated as an upload: same limits, same crop, same "
        "retention; product images keep their framing."
    )
    form = TRY_ON
    successes: ClassVar = {"202": _json("It waits for its turn.", "StartedTryOnBody", examples.STARTED)}


@dataclass
class GetGenerationOperation(DocumentedOperation):
    """GET /generations/{generationId}."""

    tag = TRY_ONS
    heading = "Look after a try-on"
    text = (
        "`status` is `PENDING`, `PROCESSING`, `COMPLETED` or `FAILED`. A completed one has `resultImageUrl`, for as "
        "long as its picture is kept; a failed one has `errorCode` and, for people, `errorMessage`. With "
        "`engine: sandbox` the picture is a card of the two that were sent: no model is connected."
    )
    inputs = (_GENERATION_ID,)
    successes: ClassVar = {"200": _json("How far it is.", "GenerationBody", examples.GENERATIONS)}


@dataclass
class LiveOperation(DocumentedOperation):
    """GET /health/live."""

    tag = HEALTH
    heading = "Is the process alive?"
    text = "For the orchestrator: restart the process when this does not answer."
    successes: ClassVar = {"200": _json("It is.", "LivenessBody", examples.LIVE)}


@dataclass
class ReadyOperation(DocumentedOperation):
    """GET /health/ready."""

    tag = HEALTH
    heading = "Should the process be sent requests?"
    text = "For the orchestrator: whether database, storage and photo workers are there."
    successes: ClassVar = {
        "200": _json("It should.", "ReadinessBody", examples.READY),
        "503": _json("It should not.", "ReadinessBody", examples.NOT_READY),
    }
