"""The routes of images, and the one behind signed links where storage cannot serve its objects itself."""

from collections.abc import AsyncIterator
from typing import Annotated

from litestar import Response, delete, get, post
from litestar.di import NamedDependency
from litestar.params import PathParameter

from application.authenticate import Ticket
from application.read_image import LinkedImage
from application.request_trace import Stage, note
from domain.account import AccountId
from domain.errors import IdempotencyKeyReused, ImageNotFound, TicketUsed, about
from domain.image import ImageId
from entrypoints.http.admission import TAKES_TICKETS, TICKET, RequestWithKey
from entrypoints.http.errors import AnyRequest
from entrypoints.http.request_parts import receiving
from entrypoints.http.schemas import ImageBody, PhotoCheckBody
from entrypoints.http.service import Service
from entrypoints.http.upload_form import FILE, UploadForm, read_upload_form
from entrypoints.http.upload_tickets import fixed_fields
from entrypoints.wiring.settings import Settings

IdInPath = Annotated[str, PathParameter(name="imageId")]


@post("/images/upload", operation_id="uploadImage", status_code=201, opt={TAKES_TICKETS: True})
async def upload_image(request: RequestWithKey, service: NamedDependency[Service]) -> ImageBody:
    """Upload a photo and get back the id of the picture that is made of it."""
    ticket = request.state.get(TICKET)
    async with receiving(request, service, FILE) as body:
        form = await _read_form(request, body, service.settings, ticket)
        key = ticket.upload_key if ticket else request.headers.get("idempotency-key")
        command = form.to_command(request.user, key, service.pseudonyms)
        try:
            with about(FILE):
                linked = await service.upload_photo.execute(command)
        except IdempotencyKeyReused:
            if ticket is None:
                raise
            raise TicketUsed from None
        note(image_id=linked.image.image_id)
        return _body(linked)


@post("/images/check", operation_id="checkImage", status_code=200, opt={TAKES_TICKETS: True})
async def check_image(request: RequestWithKey, service: NamedDependency[Service]) -> PhotoCheckBody:
    """What an upload of this photo would answer; nothing is kept."""
    ticket = request.state.get(TICKET)
    if ticket is not None:
        await service.upload_tickets.count_check(request.user, ticket)
    async with receiving(request, service, FILE) as body:
        form = await _read_form(request, body, service.settings, ticket)
        command = form.to_command(request.user, None, service.pseudonyms)
        with about(FILE):
            prepared = await service.check_photo.execute(
                command.photo, request.user.account_id, crop=command.crop, fit=command.fit
            )
        return PhotoCheckBody.of(prepared.facts, command.warnings)


@get(
    "/images/{imageId:str}",
    operation_id="getImage",
)
async def read_image(request: RequestWithKey, image_id: IdInPath, service: NamedDependency[Service]) -> ImageBody:
    """The same body as after the upload, with a fresh link."""
    return _body(await service.read_image.execute(ImageId(image_id), request.user.account_id))


@delete(
    "/images/{imageId:str}",
    operation_id="deleteImage",
)
async def delete_image(request: RequestWithKey, image_id: IdInPath, service: NamedDependency[Service]) -> None:
    """Delete an image; idempotent."""
    await service.delete_image.execute(ImageId(image_id), request.user.account_id)


async def _read_form(
    request: AnyRequest, body: AsyncIterator[bytes], settings: Settings, ticket: Ticket | None
) -> UploadForm:
    """What a ticket fixes, the form cannot say otherwise."""
    with Stage("read"):
        form = await read_upload_form(request.headers.get("content-type", ""), body, settings.max_file_bytes)
    if ticket is not None:
        form.fields = fixed_fields(ticket)
    return form


def _body(linked: LinkedImage) -> ImageBody:
    if linked.image.photo is None:
        raise ImageNotFound
    return ImageBody.of(linked, linked.image.photo)


PRIVATE = {"cache-control": "private, no-store", "x-content-type-options": "nosniff"}
"""A cache that kept the picture would keep it longer than we promised."""
MAX_EXPIRES = 2**40  # some 35,000 years: a larger number is no date


@get(
    "/tryon/v1/previews/{imageId:str}",
    operation_id="getPreview",
    media_type="image/jpeg",
)
async def read_preview(
    image_id: Annotated[str, PathParameter(name="imageId")], request: AnyRequest, service: NamedDependency[Service]
) -> Response[bytes]:
    """The picture itself, by the link that came with its `imageId`; needs no API key."""
    account, expires, signature = map(request.query_params.get, ("account", "expires", "signature"))
    if not (account and signature and expires and expires.isascii() and expires.isdigit()):
        raise ImageNotFound
    if len(expires) > len(str(MAX_EXPIRES)) or int(expires) > MAX_EXPIRES:  # Python reads no number of 4,300 digits
        raise ImageNotFound
    jpeg = await service.open_preview.execute(ImageId(image_id), AccountId(account), int(expires), signature)
    return Response(jpeg, media_type="image/jpeg", headers=PRIVATE)
