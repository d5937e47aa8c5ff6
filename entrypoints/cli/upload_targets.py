"""Targets of `tryon-images upload`: a running service, or the embedded one without a server."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol

import httpx
import msgspec

from domain.account import Account
from domain.errors import DomainError, IdempotencyKeyInUse, Overloaded

if TYPE_CHECKING:
    from entrypoints.wiring.container import Container

UPLOAD_PATH: Final = "/tryon/v1/images/upload"
SECONDS: Final = 120
UNREACHABLE: Final = "UNREACHABLE"
BUSY: Final = frozenset({408, 429, 500, 502, 503, 504})
Body = Mapping[str, Any]


class Refused(Exception):
    """The photo, or the request, was refused for good."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class Busy(Exception):
    """Another try can help, after `seconds` if they are known."""

    def __init__(self, code: str, message: str, seconds: float | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.seconds = seconds


class Target(Protocol):
    """Takes a photo with the form fields of an upload."""

    async def send(self, photo: bytes, fields: Mapping[str, str], idempotency_key: str) -> Body:
        """Returns: the body of the contract's answer. Raises: Refused, Busy."""
        ...


@dataclass(frozen=True, slots=True)
class RunningService(Target):
    """Speaks the HTTP contract. No file name is sent: the service has no use for it."""

    client: httpx.AsyncClient

    async def send(self, photo: bytes, fields: Mapping[str, str], idempotency_key: str) -> Body:
        try:
            answer = await self.client.post(
                UPLOAD_PATH,
                files={"file": ("photo", photo)},
                data=dict(fields),
                headers={"idempotency-key": idempotency_key},
            )
        except httpx.HTTPError as error:
            raise Busy(UNREACHABLE, f"{self.client.base_url} does not answer ({type(error).__name__}).") from None
        pause = answer.headers.get("retry-after")
        if answer.status_code in BUSY or pause is not None:
            raise Busy(*_error(answer), _seconds(pause))
        if answer.status_code != httpx.codes.CREATED:
            raise Refused(*_error(answer))
        body: Body = answer.json()
        return body


@asynccontextmanager
async def running_service(url: str, key: str) -> AsyncIterator[Target]:
    """A service at `url`, with or without the path of its API."""
    base = url.rstrip("/").removesuffix("/tryon/v1")
    async with httpx.AsyncClient(base_url=base, headers={"x-api-key": key}, timeout=SECONDS) as client:
        yield RunningService(client)


@dataclass(frozen=True, slots=True)
class EmbeddedService(Target):
    """The very same use case, with photo workers of our own; also while a server runs on the same folder."""

    container: "Container"
    account: Account

    async def send(self, photo: bytes, fields: Mapping[str, str], idempotency_key: str) -> Body:
        from entrypoints.http.schemas import ImageBody  # noqa: PLC0415 - a second that other commands do not need
        from entrypoints.http.upload_form import UploadForm  # noqa: PLC0415

        form = UploadForm(photo, {name: [value.encode()] for name, value in fields.items()})
        try:
            command = form.to_command(self.account, idempotency_key, self.container.pseudonyms())
            linked = await self.container.upload_photo().execute(command)
        except (Overloaded, IdempotencyKeyInUse) as error:
            raise Busy(error.code, str(error)) from None
        except DomainError as error:
            raise Refused(error.code, str(error)) from None
        if linked.image.photo is None:
            raise Refused("INTERNAL_ERROR", "The image was stored without its facts.")
        body: Body = msgspec.to_builtins(ImageBody.of(linked, linked.image.photo))
        return body


@asynccontextmanager
async def embedded_service(container: "Container", account: Account) -> AsyncIterator[Target]:
    """Its photo workers run as long as the block."""
    processor = container.processor()
    await processor.start()
    try:
        yield EmbeddedService(container, account)
    finally:
        await processor.close()


def _error(answer: httpx.Response) -> tuple[str, str]:
    """Code and message; of whatever stands in front of the service, too."""
    try:
        body = answer.json()
        return str(body["code"]), str(body["message"])
    except (ValueError, KeyError, TypeError):
        return f"HTTP_{answer.status_code}", "This is no answer of tryon-images. Is the URL right?"


def _seconds(retry_after: str | None) -> float | None:
    return float(retry_after) if retry_after and retry_after.isascii() and retry_after.isdigit() else None
