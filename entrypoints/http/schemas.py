"""Wire shapes of answers: camelCase, and a field without a value is left out. `openapi.yaml` explains the fields."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Self

import msgspec

from application.erase_customer import ErasureOutcome
from application.generations import GenerationReport
from application.read_image import LinkedImage
from application.start_try_on import StartedTryOn
from domain.erasure import ErasureRecord
from domain.errors import FieldProblem, ImageNotFound
from domain.generation import GenerationStatus
from domain.geometry import Box, Padding
from domain.image import StoredPhoto
from domain.person import Framing
from domain.photo import PhotoWarning, SourceFormat
from domain.product import Product


class Body(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """What every answer has in common: None is never sent."""


class SourceBody(Body, frozen=True, kw_only=True):
    """The photo as it was sent; its size is that of the upright picture."""

    format: SourceFormat
    width: int
    height: int


class PersonBody(Body, frozen=True, kw_only=True):
    """The main person, and how many people there are."""

    count: int
    box: Box
    face: Box | None = None
    framing: Framing
    confidence: float | None = None


class ImageBody(Body, frozen=True, kw_only=True):
    """An image and a fresh link to it; of a photo that was only checked, what can be said of it.

    Boxes are in pixels of the upright source.
    """

    image_id: str | None = None
    image_url: str | None = None
    image_url_expires_at: datetime | None = None
    created_at: datetime | None = None
    expires_at: datetime | None = None
    keep_for_days: int | None = None
    width: int
    height: int
    content_type: str | None = None
    size_bytes: int | None = None
    source: SourceBody
    crop: Box | None = None
    content_box: Box | None = None
    pad: Padding | None = None
    person: PersonBody | None = None
    warnings: Sequence[PhotoWarning]

    @classmethod
    def of(cls, linked: LinkedImage) -> Self:
        """Raises: ImageNotFound: it is yet to be stored."""
        image, photo = linked.image, linked.image.photo
        if photo is None:
            raise ImageNotFound
        return cls.of_photo(
            photo,
            image_id=image.image_id,
            image_url=linked.url,
            image_url_expires_at=linked.url_expires_at,
            created_at=image.created_at,
            expires_at=image.expires_at,
            keep_for_days=image.retention.keep_for_days,
            content_type="image/jpeg",
            size_bytes=photo.size_bytes,
        )

    @classmethod
    def of_photo(cls, photo: StoredPhoto, **kept: Any) -> Self:
        """`kept`: what only an image has."""
        source = photo.source_size
        return cls(
            width=photo.size.width,
            height=photo.size.height,
            source=SourceBody(format=photo.source_format, width=source.width, height=source.height),
            crop=photo.crop,
            content_box=photo.content,
            pad=photo.pad,
            person=msgspec.convert(photo.person, PersonBody | None, from_attributes=True),
            warnings=photo.warnings,
            **kept,
        )


class StartedTryOnBody(Body, frozen=True, kw_only=True):
    """A try-on that was accepted; `generationId` is what to poll for."""

    generation_id: str
    status: str
    product_external_id: str
    success: bool

    @classmethod
    def of(cls, started: StartedTryOn, status: GenerationStatus = GenerationStatus.PENDING) -> Self:
        return cls(
            generation_id=started.generation_id, status=status, product_external_id=started.product_id, success=True
        )


class GenerationBody(Body, frozen=True, kw_only=True):
    """How far a try-on is. `engine` says who makes the result; `sandbox` only shows the two pictures on a card."""

    generation_id: str
    status: str
    result_image_id: str | None = None
    result_image_url: str | None = None
    result_image_url_expires_at: datetime | None = None
    error_code: str | None = None
    error_message: str | None = None
    engine: str | None = None
    created_at: datetime
    updated_at: datetime
    success: bool

    @classmethod
    def of(cls, report: GenerationReport) -> Self:
        generation, result, failure = report.generation, report.result, report.generation.failure
        return cls(
            generation_id=generation.generation_id,
            status=generation.status,
            result_image_id=result.image.image_id if result else None,
            result_image_url=result.url if result else None,
            result_image_url_expires_at=result.url_expires_at if result else None,
            error_code=failure.code if failure else None,
            error_message=failure.message if failure else None,
            engine=generation.engine or None,
            created_at=generation.created_at.replace(microsecond=0),
            updated_at=generation.updated_at.replace(microsecond=0),
            success=True,
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


class PageBody(Body, frozen=True, kw_only=True):
    """Some generations, newest first, or some products in the order of their ids; `count` is told of products alone."""

    items: Sequence[Body]
    next_cursor: str | None = None
    has_more: bool
    count: int | None = None


class ProductImageBody(Body, frozen=True, kw_only=True):
    """Where a picture of a product came from; the best picture has the lowest order."""

    source_url: str | None = None
    order: int


class ProductBody(Body, frozen=True, kw_only=True):
    """A product as it is kept."""

    external_id: str
    product_id: str
    title: str | None = None
    description: str | None = None
    images: list[ProductImageBody]
    created_at: datetime
    updated_at: datetime
    last_used_at: datetime
    expires_at: datetime | None = None

    @classmethod
    def of(cls, product: Product) -> Self:
        return cls(
            external_id=product.external_id,
            product_id=product.external_id,
            title=product.title,
            description=product.description,
            images=[
                ProductImageBody(source_url=picture.url, order=order) for order, picture in enumerate(product.pictures)
            ],
            created_at=product.created_at.replace(microsecond=0),
            updated_at=product.updated_at.replace(microsecond=0),
            last_used_at=product.last_used_at.replace(microsecond=0),
            expires_at=product.expires_at.replace(microsecond=0) if product.expires_at else None,
        )


class UploadTicketBody(Body, frozen=True, kw_only=True):
    """A ticket, where to use it, and until when."""

    ticket: str
    upload_url: str
    expires_at: datetime
    warnings: Sequence[PhotoWarning] | None = None


class ErrorBody(Body, frozen=True, kw_only=True):
    """Every failure. `status` equals the HTTP status; clients branch on `code`; `message` is for people."""

    code: str
    message: str
    status: int
    request_id: str
    details: tuple[FieldProblem, ...] = ()


class ReadinessBody(Body, frozen=True, kw_only=True):
    """Whether the process should be sent requests.

    `works`: of `uploads`, `reads` and `erasures` those that work; with none the process is not ready. `failing`: the
    parts that fail, for those who send a valid key. `degraded`: `engine`: try-ons wait for the operator; `clock`:
    nothing is purged, it differs.
    """

    status: str
    works: list[str]
    failing: list[str] = []
    degraded: list[str] = []
