"""The routes of images: from an upload or its ticket to the picture behind a signed link."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Annotated, Final

from litestar import Response, delete, get, post
from litestar.di import NamedDependency
from litestar.enums import ScopeType
from litestar.params import PathParameter
from litestar.types import ASGIApp, Message, Receive, Scope, Send

from application.request_trace import Stage, note
from application.upload_photo import UploadCommand
from domain.account import AccountId
from domain.errors import (
    IdempotencyKeyInUse,
    IdempotencyKeyReused,
    ImageNotFound,
    ReusedWhileRunning,
    TicketUsed,
    about,
)
from domain.image import ImageId
from entrypoints.http.admission import API_KEY_HEADER, TAKES_TICKETS, TICKET, RequestWithKey
from entrypoints.http.edge import header
from entrypoints.http.errors import AnyRequest
from entrypoints.http.request_parts import json_object_of, receiving
from entrypoints.http.schemas import ImageBody, UploadTicketBody
from entrypoints.http.service import Service
from entrypoints.http.try_on_request import asked_once
from entrypoints.http.upload_form import (
    CHECKS,
    FILE,
    LIFETIME,
    Problems,
    read_upload_form,
    ticket_terms,
    warnings_about_unknown,
)
from entrypoints.wiring.settings import API_PATH, PREVIEWS_PATH, UPLOAD_PATH

IdInPath = Annotated[str, PathParameter(name="imageId")]
CHECK_PATH: Final = f"{API_PATH}/images/check"


@post("/images/upload", operation_id="uploadImage", status_code=201, opt={TAKES_TICKETS: True})
async def upload_image(request: RequestWithKey, service: NamedDependency[Service]) -> ImageBody:
    """Upload a photo and get back the id of the picture that is made of it."""
    ticket = request.state.get(TICKET)
    key = ticket.upload_key if ticket else request.headers.get("idempotency-key")
    async with _reading(request, service, key) as command:
        try:
            linked = await service.upload_photo.execute(command)
        except IdempotencyKeyReused as reused:
            if ticket is None:
                raise
            raise (IdempotencyKeyInUse if isinstance(reused, ReusedWhileRunning) else TicketUsed) from None
    note(image_id=linked.image.image_id)
    return ImageBody.of(linked)


@post("/images/check", operation_id="checkImage", status_code=200, opt={TAKES_TICKETS: True})
async def check_image(request: RequestWithKey, service: NamedDependency[Service]) -> ImageBody:
    """What an upload of this photo would answer; nothing is kept."""
    ticket = request.state.get(TICKET)
    if ticket is not None:
        await service.upload_tickets.count_check(request.user, ticket)
    async with _reading(request, service) as command:
        facts = (
            await service.check_photo.execute(
                command.photo, request.user.account_id, crop=command.crop, fit=command.fit
            )
        ).facts
        return ImageBody.of_photo(replace(facts, warnings=facts.warnings + command.warnings))


@asynccontextmanager
async def _reading(request: RequestWithKey, service: Service, key: str | None = None) -> AsyncIterator[UploadCommand]:
    """The upload that is asked for, its photo in memory. What a ticket fixes, the form cannot say otherwise."""
    ticket = request.state.get(TICKET)
    async with receiving(request, service, FILE) as body:
        with Stage("read"):
            content_type = request.headers.get("content-type", "")
            form = await read_upload_form(content_type, body, service.settings.max_file_bytes)
        command = form.to_command(request.user, key, service.pseudonyms, ticket.terms if ticket else None)
        with about(FILE):
            yield command


@get("/images/{imageId:str}", operation_id="getImage")
async def read_image(request: RequestWithKey, image_id: IdInPath, service: NamedDependency[Service]) -> ImageBody:
    """The same body as after the upload, with a fresh link."""
    return ImageBody.of(await service.read_image.execute(ImageId(image_id), request.user.account_id))


@delete("/images/{imageId:str}", operation_id="deleteImage")
async def delete_image(request: RequestWithKey, image_id: IdInPath, service: NamedDependency[Service]) -> None:
    """Delete an image; idempotent."""
    await service.delete_image.execute(ImageId(image_id), request.user.account_id)


PRIVATE = {"cache-control": "private, no-store", "x-content-type-options": "nosniff"}
"""A cache that kept the picture would keep it longer than we promised."""
MAX_EXPIRES = 2**40  # some 35,000 years: a larger number is no date


@get(f"{PREVIEWS_PATH}/{{imageId:str}}", operation_id="getPreview", media_type="image/jpeg")
async def read_preview(image_id: IdInPath, request: AnyRequest, service: NamedDependency[Service]) -> Response[bytes]:
    """The picture itself, by the link that came with its `imageId`; needs no API key."""
    account, expires, signature = map(request.query_params.get, ("account", "expires", "signature"))
    if not (account and signature and expires and expires.isascii() and expires.isdigit()):
        raise ImageNotFound
    if len(expires) > len(str(MAX_EXPIRES)) or int(expires) > MAX_EXPIRES:  # Python reads no number of 4,300 digits
        raise ImageNotFound
    jpeg = await service.open_preview.execute(ImageId(image_id), AccountId(account), int(expires), signature)
    return Response(jpeg, media_type="image/jpeg", headers=PRIVATE)


@post("/upload-tickets", operation_id="createUploadTicket", status_code=201)
async def create_upload_ticket(request: RequestWithKey, service: NamedDependency[Service]) -> UploadTicketBody:
    """Let a shopper's browser or app upload one photo without the key."""
    body, problems = await json_object_of(request, service), Problems()
    terms, lifetime = ticket_terms(body, problems)
    key = problems.idempotency_key(request.headers.get("idempotency-key"))
    problems.expect_none()
    record = asked_once(key, "upload-tickets", body, {}, account=request.user, pseudonyms=service.pseudonyms)
    ticket, expires_at = await service.upload_tickets.issue(
        request.user, request.headers[API_KEY_HEADER], terms, lifetime, record
    )
    return UploadTicketBody(
        ticket=ticket,
        upload_url=service.settings.base_url + UPLOAD_PATH,
        expires_at=expires_at,
        warnings=tuple(warnings_about_unknown(body, frozenset({*CHECKS, LIFETIME}))) or None,
    )


class CrossOrigin:
    """Lets pages of other origins use tickets: on two routes, and on no other."""

    def __init__(self, app: ASGIApp, origins: str) -> None:
        self._app = app
        self._origins = frozenset(origin.strip() for origin in origins.split(","))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != ScopeType.HTTP or scope["path"] not in {UPLOAD_PATH, CHECK_PATH}:
            await self._app(scope, receive, send)
            return

        async def send_with_permission(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *self._headers(scope)]
            await send(message)

        await self._app(scope, receive, send_with_permission)

    def _headers(self, scope: Scope) -> Iterator[tuple[bytes, bytes]]:
        origin = header(scope, b"origin") or ""
        allowed = "*" if "*" in self._origins else origin
        if "*" not in self._origins:
            yield b"vary", b"origin"
            if origin not in self._origins:
                return
        yield b"access-control-allow-origin", allowed.encode("latin-1")
        yield b"access-control-expose-headers", b"retry-after, x-request-id"
        if scope.get("method") == "OPTIONS":
            yield b"access-control-allow-methods", b"POST"
            yield b"access-control-allow-headers", b"authorization, content-type, idempotency-key"
            yield b"access-control-max-age", b"600"
