"""The wire shapes of requests and answers: camelCase, and a field without a value is left out."""

from datetime import datetime
from typing import Self

import msgspec
from msgspec import UNSET, UnsetType

from application.preview_link import LinkedImage
from application.read_generation import GenerationReport
from application.start_try_on import StartedTryOn
from domain.geometry import Box
from domain.image import StoredPhoto
from domain.person import PersonReport


class Body(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What every answer has in common."""


class SourceBody(Body, frozen=True, kw_only=True):
    """The photo as it was sent; its size is that of the upright picture."""

    format: str
    width: int
    height: int


class BoxBody(Body, frozen=True, kw_only=True):
    """A rectangle in pixels of the upright source."""

    x: int
    y: int
    width: int
    height: int

    @classmethod
    def of(cls, box: Box) -> Self:
        return cls(x=box.x, y=box.y, width=box.width, height=box.height)


class PersonBody(Body, frozen=True, kw_only=True):
    """The main person, and how many people there are."""

    count: int
    box: BoxBody
    face: BoxBody | UnsetType = UNSET
    framing: str

    @classmethod
    def of(cls, person: PersonReport) -> Self:
        return cls(
            count=person.count,
            box=BoxBody.of(person.box),
            face=BoxBody.of(person.face) if person.face else UNSET,
            framing=person.framing,
        )


class WarningBody(Body, frozen=True, kw_only=True):
    """Something that did not stop the upload but may spoil what is made of it."""

    code: str
    message: str


class ImageBody(Body, frozen=True, kw_only=True):
    """An image and a fresh link to it. Boxes are in pixels of the upright source."""

    image_id: str
    image_url: str
    image_url_expires_at: datetime
    created_at: datetime
    expires_at: datetime
    keep_for_days: int
    width: int
    height: int
    content_type: str
    size_bytes: int
    source: SourceBody
    crop: BoxBody | UnsetType = UNSET
    person: PersonBody | UnsetType = UNSET
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
            width=photo.size.width,
            height=photo.size.height,
            content_type="image/jpeg",
            size_bytes=photo.size_bytes,
            source=SourceBody(
                format=photo.source_format, width=photo.source_size.width, height=photo.source_size.height
            ),
            crop=BoxBody.of(photo.crop) if photo.crop else UNSET,
            person=PersonBody.of(photo.person) if photo.person else UNSET,
            warnings=[WarningBody(code=warning.code, message=warning.message) for warning in photo.warnings],
        )


class StartedTryOnBody(Body, frozen=True, kw_only=True):
    """A try-on that was accepted; `generationId` is what to poll for."""

    generation_id: str
    status: str
    product_external_id: str

    @classmethod
    def of(cls, started: StartedTryOn) -> Self:
        generation = started.generation
        return cls(
            generation_id=generation.generation_id,
            status=generation.status,
            product_external_id=started.product_id,
        )


class GenerationBody(Body, frozen=True, kw_only=True):
    """How far a try-on is. `engine` says who made, or tries to make, the result: a `preview` is a drawing."""

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


class ProblemBody(Body, frozen=True, kw_only=True):
    """One malformed field."""

    path: str
    message: str


class ErrorBody(Body, frozen=True, kw_only=True):
    """Every failure. `status` equals the HTTP status; clients branch on `code`."""

    code: str
    message: str
    status: int
    details: list[ProblemBody] | UnsetType = UNSET
