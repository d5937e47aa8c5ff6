"""The route of upload tickets, and what a ticket does to an upload."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any, Final

from litestar import post
from litestar.di import NamedDependency
from litestar.enums import ScopeType
from litestar.types import ASGIApp, Message, Receive, Scope, Send

from application.authenticate import Ticket, TicketTerms
from domain.account import RetentionPolicy
from domain.customer import external_id_problem
from domain.errors import FieldProblem, ValidationFailed
from entrypoints.http.admission import API_KEY_HEADER, RequestWithKey
from entrypoints.http.edge import header
from entrypoints.http.request_parts import json_object_of
from entrypoints.http.schemas import UploadTicketBody
from entrypoints.http.service import Service
from entrypoints.http.try_on_request import asked_once
from entrypoints.http.upload_form import warnings_about_unknown

UPLOAD: Final = "/tryon/v1/images/upload"
CHECK: Final = "/tryon/v1/images/check"
SHORTEST: Final = 60
USUAL: Final = 600
LONGEST: Final = int(Ticket.LONGEST.total_seconds())
TERMS: Final = frozenset({"externalUserId", "keepForDays", "crop", "fit", "expiresInSeconds"})
FITS: Final = ("crop", "pad")


@post("/upload-tickets", operation_id="createUploadTicket", status_code=201)
async def create_upload_ticket(request: RequestWithKey, service: NamedDependency[Service]) -> UploadTicketBody:
    """Let a shopper's browser or app upload one photo without the key."""
    body = await json_object_of(request, service)
    terms, lifetime = ticket_terms(body)
    asked = asked_once(request.headers.get("idempotency-key"), "upload-tickets", body, {})
    record = service.pseudonyms.request(request.user.account_id, *asked) if asked else None
    ticket, expires_at = await service.upload_tickets.issue(
        request.user, request.headers[API_KEY_HEADER], terms, lifetime, record
    )
    return UploadTicketBody(
        ticket=ticket,
        upload_url=service.settings.base_url + UPLOAD,
        expires_at=expires_at,
        warnings=tuple(warnings_about_unknown(body, TERMS)) or None,
    )


def fixed_fields(ticket: Ticket) -> dict[str, list[bytes]]:
    """What the ticket says in place of the form's own fields."""
    terms = ticket.terms
    said = {
        "externalUserId": terms.customer_id,
        "keepForDays": None if terms.keep_for_days is None else str(terms.keep_for_days),
        "crop": None if terms.crop is None else str(terms.crop),
        "fit": terms.fit,
    }
    return {name: [value.encode()] for name, value in said.items() if value is not None}


def ticket_terms(body: dict[str, Any]) -> tuple[TicketTerms, timedelta]:
    """Raises: ValidationFailed that names every malformed field."""
    seconds = body.get("expiresInSeconds")
    if isinstance(seconds, float) and seconds.is_integer():  # to JSON Schema, 60.0 is an integer
        seconds = int(seconds)
    customer_id, days, crop, fit = (body.get(name) for name in ("externalUserId", "keepForDays", "crop", "fit"))
    customer_problem: str | bool | None = customer_id is not None and "must be a string"
    if isinstance(customer_id, str):
        customer_problem = external_id_problem(customer_id)
    is_span = type(seconds) is int and SHORTEST <= seconds <= LONGEST
    found = {
        "externalUserId": customer_problem,
        "keepForDays": days is not None
        and (type(days) is not int or days not in RetentionPolicy.ALLOWED_DAYS)
        and RetentionPolicy.PROBLEM,
        "crop": crop is not None and not isinstance(crop, bool) and "must be true or false",
        "fit": fit is not None and fit not in FITS and "must be crop or pad",
        "expiresInSeconds": seconds is not None
        and not is_span
        and f"must be a whole number from {SHORTEST} to {LONGEST}",
    }
    problems = tuple(FieldProblem(name, str(problem)) for name, problem in found.items() if problem)
    if problems:
        raise ValidationFailed(problems)
    terms = TicketTerms(customer_id=customer_id, keep_for_days=days, crop=crop, fit=fit)
    return terms, timedelta(seconds=USUAL if seconds is None else seconds)


class CrossOrigin:
    """Lets pages of other origins use tickets: on two routes, and on no other."""

    def __init__(self, app: ASGIApp, origins: str) -> None:
        self._app = app
        self._origins = frozenset(origin.strip() for origin in origins.split(","))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != ScopeType.HTTP or scope["path"] not in {UPLOAD, CHECK}:
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
