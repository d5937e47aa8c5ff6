"""The wire shapes of requests and answers: camelCase, and a field without a value is left out."""

from datetime import datetime
from typing import Annotated, Any, Self

import msgspec
from msgspec import UNSET, Meta, UnsetType

from application.erase_customer import ErasureOutcome
from application.preview_link import LinkedImage
from application.read_generation import GenerationReport
from application.start_try_on import StartedTryOn
from domain.erasure import ErasureRecord
from domain.generation import GenerationStatus
from domain.geometry import Box, Padding
from domain.image import StoredPhoto
from domain.person import Framing, PersonReport
from domain.photo import PhotoWarning, SourceFormat, WarningCode
from domain.product import Product


class Body(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What every answer has in common."""


Pixels = Annotated[int, Meta(ge=1)]


class SourceBody(Body, frozen=True, kw_only=True):
    """The photo as it was sent; its size is that of the upright picture."""

    format: SourceFormat
    width: Pixels
    height: Pixels


class BoxBody(Body, frozen=True, kw_only=True):
    """A rectangle in pixels of the upright source."""

    x: Annotated[int, Meta(ge=0)]
    y: Annotated[int, Meta(ge=0)]
    width: Pixels
    height: Pixels

    @classmethod
    def of(cls, box: Box) -> Self:
        return cls(x=box.x, y=box.y, width=box.width, height=box.height)


class PadBody(Body, frozen=True, kw_only=True):
    """By how many stored pixels the picture was extended on each side."""

    left: int
    top: int
    right: int
    bottom: int

    @classmethod
    def of(cls, padding: Padding) -> Self:
        return cls(left=padding.left, top=padding.top, right=padding.right, bottom=padding.bottom)


class PersonBody(Body, frozen=True, kw_only=True):
    """The main person, and how many people there are."""

    count: Annotated[int, Meta(ge=1, description="How many people there are; the boxes are the main one's.")]
    box: BoxBody
    face: BoxBody | UnsetType = UNSET
    framing: Framing
    confidence: float | UnsetType = UNSET

    @classmethod
    def of(cls, person: PersonReport) -> Self:
        return cls(
            count=person.count,
            box=BoxBody.of(person.box),
            face=BoxBody.of(person.face) if person.face else UNSET,
            framing=person.framing,
            confidence=UNSET if person.confidence is None else person.confidence,
        )


class WarningBody(Body, frozen=True, kw_only=True):
    """Something that did not stop the upload but may spoil what is made of it."""

    code: Annotated[
        str,
        Meta(
            description="Stable; new ones may come. Today: " + ", ".join(WarningCode) + ".",
            examples=[WarningCode.LOW_RESOLUTION.value],
        ),
    ]
    message: Annotated[str, Meta(description="For the customer: what is the matter and what to do about it.")]


class ImageBody(Body, frozen=True, kw_only=True):
    """An image and a fresh link to it. Boxes are in pixels of the upright source."""

    image_id: Annotated[str, Meta(description="Opaque and URL-safe; valid for its own account until `expiresAt`.")]
    image_url: Annotated[str, Meta(description="Shows the stored picture, without an API key.")]
    image_url_expires_at: Annotated[datetime, Meta(description="Never later than `expiresAt`.")]
    created_at: datetime
    expires_at: Annotated[datetime, Meta(description="From this instant on the image is gone.")]
    keep_for_days: Annotated[int, Meta(description="1, 3 or 7.")]
    width: Annotated[int, Meta(ge=1, description="Of the stored picture, in pixels.")]
    height: Annotated[int, Meta(ge=1, description="Of the stored picture, in pixels.")]
    content_type: Annotated[str, Meta(description="Always `image/jpeg`.")]
    size_bytes: Annotated[int, Meta(ge=1, description="Of the stored picture.")]
    source: SourceBody
    crop: Annotated[
        BoxBody | UnsetType,
        Meta(description="The window that was kept, in pixels of the upright source. Absent with `crop=false`."),
    ] = UNSET
    content_box: BoxBody | UnsetType = UNSET
    pad: PadBody | UnsetType = UNSET
    person: Annotated[
        PersonBody | UnsetType, Meta(description="Absent when nobody was found, and with `crop=false`.")
    ] = UNSET
    warnings: list[WarningBody]

    @classmethod
    def of(cls, linked: LinkedImage, photo: StoredPhoto) -> Self:
        image = linked.image
        return cls(
            image_id=image.image_id,
            image_url=linked.url,
            image_url_expires_at=linked.url_expires_at,
            created_at=image.created_at,
            expires_at=image.expires_at,
            keep_for_days=image.retention.keep_for_days,
            content_type="image/jpeg",
            size_bytes=photo.size_bytes,
            **_facts(photo, photo.warnings),
        )


class PhotoCheckBody(Body, frozen=True, kw_only=True):
    """What an upload of the photo would answer, without what only a stored image has."""

    width: Pixels
    height: Pixels
    source: SourceBody
    crop: BoxBody | UnsetType = UNSET
    content_box: BoxBody | UnsetType = UNSET
    pad: PadBody | UnsetType = UNSET
    person: PersonBody | UnsetType = UNSET
    warnings: list[WarningBody]

    @classmethod
    def of(cls, photo: StoredPhoto, about_the_form: tuple[PhotoWarning, ...]) -> Self:
        return cls(**_facts(photo, photo.warnings + about_the_form))


def _facts(photo: StoredPhoto, warnings: tuple[PhotoWarning, ...]) -> dict[str, Any]:
    source = photo.source_size
    return {
        "width": photo.size.width,
        "height": photo.size.height,
        "source": SourceBody(format=photo.source_format, width=source.width, height=source.height),
        "crop": BoxBody.of(photo.crop) if photo.crop else UNSET,
        "content_box": BoxBody.of(photo.content) if photo.content else UNSET,
        "pad": PadBody.of(photo.pad) if photo.pad else UNSET,
        "person": PersonBody.of(photo.person) if photo.person else UNSET,
        "warnings": [WarningBody(code=warning.code, message=warning.message) for warning in warnings],
    }


class StartedTryOnBody(Body, frozen=True, kw_only=True):
    """A try-on that was accepted; `generationId` is what to poll for."""

    generation_id: str
    status: str
    product_external_id: str
    success: bool = True

    @classmethod
    def of(cls, started: StartedTryOn, status: GenerationStatus = GenerationStatus.PENDING) -> Self:
        return cls(generation_id=started.generation_id, status=status, product_external_id=started.product_id)


class GenerationBody(Body, frozen=True, kw_only=True):
    """How far a try-on is. `engine` says who makes the result; `sandbox` only shows the two pictures on a card."""

    generation_id: str
    status: str
    result_image_id: str | UnsetType = UNSET
    result_image_url: str | UnsetType = UNSET
    result_image_url_expires_at: datetime | UnsetType = UNSET
    error_code: str | UnsetType = UNSET
    error_message: str | UnsetType = UNSET
    engine: str | UnsetType = UNSET
    created_at: datetime
    updated_at: datetime
    success: bool = True

    @classmethod
    def of(cls, report: GenerationReport) -> Self:
        generation, result, failure = report.generation, report.result, report.generation.failure
        return cls(
            generation_id=generation.generation_id,
            status=generation.status,
            result_image_id=result.image.image_id if result else UNSET,
            result_image_url=result.url if result else UNSET,
            result_image_url_expires_at=result.url_expires_at if result else UNSET,
            error_code=failure.code if failure else UNSET,
            error_message=failure.message if failure else UNSET,
            engine=generation.engine or UNSET,
            created_at=generation.created_at.replace(microsecond=0),
            updated_at=generation.updated_at.replace(microsecond=0),
        )


class ErasureBody(Body, frozen=True, kw_only=True):
    """An erasure: final in any case; `ERASING` while bytes that nobody can reach any more wait for storage."""

    erasure_id: str
    status: str
    images_erased: int
    requested_at: datetime

    @classmethod
    def of(cls, outcome: ErasureOutcome) -> Self:
        return cls(
            erasure_id=outcome.erasure_id,
            status=outcome.status,
            images_erased=outcome.images,
            requested_at=outcome.requested_at.replace(microsecond=0),
        )

    @classmethod
    def of_record(cls, record: ErasureRecord) -> Self:
        return cls(
            erasure_id=record.erasure_id,
            status="ERASED" if record.completed_at else "ERASING",
            images_erased=record.image_count,
            requested_at=record.requested_at.replace(microsecond=0),
        )


class GenerationPageBody(Body, frozen=True, kw_only=True):
    """Some generations, newest first."""

    items: list[GenerationBody]
    next_cursor: str | UnsetType = UNSET
    has_more: bool


class ProductImageBody(Body, frozen=True, kw_only=True):
    """Where a picture of a product came from; the best picture has the lowest order."""

    source_url: str | UnsetType = UNSET
    order: int


class ProductBody(Body, frozen=True, kw_only=True):
    """A product as it is kept."""

    external_id: str
    product_id: str
    title: str | UnsetType = UNSET
    description: str | UnsetType = UNSET
    images: list[ProductImageBody]
    created_at: datetime
    updated_at: datetime
    last_used_at: datetime
    expires_at: datetime | UnsetType = UNSET

    @classmethod
    def of(cls, product: Product) -> Self:
        return cls(
            external_id=product.external_id,
            product_id=product.external_id,
            title=UNSET if product.title is None else product.title,
            description=UNSET if product.description is None else product.description,
            images=[
                ProductImageBody(source_url=picture.url or UNSET, order=order)
                for order, picture in enumerate(product.pictures)
            ],
            created_at=product.created_at.replace(microsecond=0),
            updated_at=product.updated_at.replace(microsecond=0),
            last_used_at=product.last_used_at.replace(microsecond=0),
            expires_at=product.expires_at.replace(microsecond=0) if product.expires_at else UNSET,
        )


class ProductPageBody(Body, frozen=True, kw_only=True):
    """Some products in the order of their ids."""

    items: list[ProductBody]
    next_cursor: str | UnsetType = UNSET
    has_more: bool
    count: int


class UploadTicketBody(Body, frozen=True, kw_only=True):
    """A ticket, where to use it, and until when."""

    ticket: str
    upload_url: str
    expires_at: datetime


class CreditsBody(Body, frozen=True, kw_only=True):
    """How many try-ons are left."""

    credit_balance: int


class ProblemBody(Body, frozen=True, kw_only=True):
    """One malformed field."""

    path: Annotated[str, Meta(description="The field's name as the client wrote it.")]
    message: str


class ErrorBody(Body, frozen=True, kw_only=True):
    """Every failure. `status` equals the HTTP status; clients branch on `code`."""

    code: Annotated[str, Meta(description="Stable.")]
    message: Annotated[str, Meta(description="For people; may change.")]
    status: int
    request_id: Annotated[str, Meta(description="The same as `x-request-id`; the operator finds the request by it.")]
    details: Annotated[
        list[ProblemBody] | UnsetType, Meta(description="The inputs that are meant, where one can be named.")
    ] = UNSET


class LivenessBody(Body, frozen=True, kw_only=True):
    """That the process answers."""

    status: Annotated[str, Meta(examples=["live"])]


class ReadinessBody(Body, frozen=True, kw_only=True):
    """Whether the process should be sent requests."""

    status: Annotated[str, Meta(description="`ready` or `not ready`.")]
    works: Annotated[
        list[str], Meta(description="Of `uploads`, `reads` and `erasures` those that work; with none it is not ready.")
    ]
    failing: Annotated[
        list[str] | UnsetType, Meta(description="The parts that fail, for those who send a valid key.")
    ] = UNSET
    degraded: Annotated[
        list[str] | UnsetType,
        Meta(description="`engine`: try-ons wait for the operator; `clock`: nothing is purged, it differs."),
    ] = UNSET
