"""Everything that can go wrong for a caller, each with a code that clients branch on and that never changes."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import ClassVar


class DomainError(Exception):
    """A failure that the caller can understand; its text is shown to the caller and holds nothing private."""

    code: ClassVar[str]
    """Stands in the head of each class."""
    message: ClassVar[str] = ""
    """Where it is always the same."""
    path: str | None = None
    """The input that is meant, where one can be named, as the client wrote it (`products.0.images.0.source.url`)."""

    def __init_subclass__(cls, code: str = "") -> None:
        """Without a code, a class has that of the failure of which it is a kind."""
        cls.code = code or cls.code

    def __init__(self, message: str = "") -> None:
        super().__init__(message or self.message)


@contextmanager
def about(path: str) -> Iterator[None]:
    """Let a photo that is refused or not found inside name the input it came from, unless it names one already."""
    try:
        yield
    except (InvalidImage, UnsupportedImageFormat, ImageTooLarge, FileTooLarge, ImageNotFound) as error:
        error.path = error.path or path
        raise


class InvalidImage(DomainError, code="INVALID_IMAGE"):
    """Empty, truncated, corrupt, or not decodable."""

    message = "The photo is damaged or incomplete and cannot be read. Send the original file."


class UnsupportedImageFormat(DomainError, code="UNSUPPORTED_IMAGE_FORMAT"):
    """Not one of the four families, however it is named."""

    message = "The file is not a JPEG, PNG, WebP or HEIC photo. Convert it to one of these formats."


class ImageTooLarge(DomainError, code="IMAGE_TOO_LARGE"):
    """More pixels than allowed, decided from the header."""

    def __init__(self, pixels: int, limit: int) -> None:
        super().__init__(f"The photo has {pixels:,} pixels; the limit is {limit:,}. Send a smaller version.")
        self.pixels = pixels
        self.limit = limit


class Overloaded(DomainError, code="OVERLOADED"):
    """The fault is ours and passes: a full queue, storage or database down, a worker out of memory."""

    def __init__(
        self,
        message: str = "The service is busy. Try again shortly.",
        retry_after_seconds: int = 5,
        *,
        cause: str = "unknown",
        advice: str = "",
    ) -> None:
        """No client sees `cause` (a word for metrics, as `timeout`) and `advice` (a line for the operator)."""
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds
        self.cause = cause
        self.advice = advice or message


class FileTooLarge(DomainError, code="FILE_TOO_LARGE"):
    """Decided while reading, never after buffering it all."""

    def __init__(self, limit_bytes: int, request_bytes: int | None = None, *, path: str | None = None) -> None:
        """`request_bytes`: what a request was announced with, when that alone says that a file in it is too large."""
        found = f"The request has {request_bytes:,} bytes; a file may have {limit_bytes:,}" if request_bytes else None
        super().__init__(f"{found or f'The file has more than {limit_bytes:,} bytes'}. Send a smaller version.")
        self.path = path


class UnsupportedContentEncoding(DomainError, code="UNSUPPORTED_CONTENT_ENCODING"):
    """A compressed request body."""

    def __init__(self, encoding: str) -> None:
        super().__init__(
            f'The body comes with "Content-Encoding: {encoding}". Send it uncompressed, without the header.'
        )


class RequestTimeout(DomainError, code="REQUEST_TIMEOUT"):
    """The body came slower than the lowest rate for too long."""

    def __init__(self, received_bytes: int, seconds: int, bytes_per_second: int) -> None:
        super().__init__(
            f"Only {received_bytes:,} bytes came within the last {seconds} s; at least {bytes_per_second:,} a second"
            " are needed. Try again, on a better connection if you can."
        )


class BegunTooLongAgo(RequestTimeout):
    """A trusted proxy collected the body for longer than erasures are remembered: nobody can tell which came first."""

    def __init__(self) -> None:
        DomainError.__init__(self, "The request was on its way for hours. Try again, on a better connection.")


class FileRequired(DomainError, code="FILE_REQUIRED"):
    """A form without a `file` part."""

    def __init__(self, parts: Sequence[str] = ()) -> None:
        """`parts`: the names of the parts that came; `meant`, one of them that probably holds the photo."""
        meant = next((name for name in parts if _looks_like_a_photo(name)), None)
        came = f"The parts were: {', '.join(parts)}. " if parts else "The form was empty. "
        advice = f'send the part "{meant}" as "file"' if meant else 'send the photo as a file in a part named "file"'
        super().__init__(f'The form has no "file" part. {came}To fix it, {advice}.')


def _looks_like_a_photo(name: str) -> bool:
    bare = "".join(character for character in name.lower() if character.isalpha())
    return any(word in bare for word in ("file", "image", "photo", "picture", "img", "upload", "media", "avatar"))


class ImageNotFound(DomainError, code="IMAGE_NOT_FOUND"):
    """Unknown, expired, deleted, or another account's: the four cannot be told apart."""

    message = "There is no such image. It may have expired or been deleted."


class MissingApiKey(DomainError, code="MISSING_API_KEY"):
    """No `x-api-key` header."""

    def __init__(self, *, is_in_authorization: bool = False) -> None:
        found = "There is an Authorization header, but no x-api-key. " if is_in_authorization else ""
        super().__init__(f"{found}Send your API key in the x-api-key header.")


class InvalidApiKey(DomainError, code="INVALID_API_KEY"):
    """Unknown, revoked, or of an inactive account."""

    message = "The API key is not valid. Check it, or create a new one."


class CustomerErased(DomainError, code="CUSTOMER_ERASED"):
    """The customer was erased after the upload began and before it was finished."""

    message = "The customer was erased while this upload was in flight. Nothing was kept."


class IdempotencyKeyReused(DomainError, code="IDEMPOTENCY_KEY_REUSED"):
    """The key came earlier with a different request."""

    message = "This Idempotency-Key was used for a different request. Use a new key for a new request."


class ReusedWhileRunning(IdempotencyKeyReused):
    """The first request has not ended yet: if it is refused, its key is free again."""


class IdempotencyKeyInUse(DomainError, code="IDEMPOTENCY_KEY_IN_USE"):
    """The first request with this key is still running."""

    message = "The first request with this Idempotency-Key is still running. Try again shortly."
    retry_after_seconds: ClassVar = 2


@dataclass(frozen=True, slots=True)
class FieldProblem:
    """`path` names a field the way the client wrote it (`products.0.images.0.source.url`)."""

    path: str
    message: str


class ValidationFailed(DomainError, code="VALIDATION_FAILED"):
    """One or more fields are malformed; every one of them is named."""

    def __init__(self, problems: tuple[FieldProblem, ...]) -> None:
        super().__init__("The request is not valid: " + "; ".join(f"{p.path}: {p.message}" for p in problems))
        self.problems = problems


class RateLimited(DomainError, code="RATE_LIMITED"):
    """Over the account's rate; the request was not looked at and may be sent again later."""

    def __init__(self, requests: int, retry_after_seconds: int) -> None:
        super().__init__(f"Your account may send {requests:,} requests a minute. Try again in {retry_after_seconds} s.")
        self.retry_after_seconds = retry_after_seconds


class Forbidden(DomainError, code="FORBIDDEN"):
    """The key's scopes do not cover this call."""

    def __init__(self, scope: str) -> None:
        super().__init__(f'This API key may not do this: its scopes lack "{scope}". Use another key.')


class TooManyWaiting(RateLimited):
    """As many try-ons of the account wait or run as may."""

    def __init__(self, limit: int) -> None:
        DomainError.__init__(self, f"{limit:,} try-ons of your account wait or run. Try again when some are over.")
        self.retry_after_seconds = 10


class QuotaExceeded(DomainError, code="QUOTA_EXCEEDED"):
    """As many live images as the account may have. Trying again does not help; deleting some, or waiting, does."""

    def __init__(self, limit: int) -> None:
        super().__init__(f"Your account may keep {limit:,} images. Delete some, or wait until some expire.")


class InvalidTicket(DomainError, code="INVALID_TICKET"):
    """Forged, expired, or ended: with its key, its account, or its customer's erasure."""

    message = "The upload ticket is not valid any more. Ask the shop's server for a new one."


class TicketUsed(DomainError, code="TICKET_USED"):
    """Spent on another photo, or on all the checks that it allows."""

    message = "The upload ticket was used for another photo. Ask the shop's server for a new one."


class InsufficientCredits(DomainError, code="INSUFFICIENT_CREDITS"):
    """No try-ons left: the operator gives an account as many as it may have."""

    message = "Your account has no try-ons left."


class ReconcileRefused(DomainError, code="RECONCILE_REFUSED"):
    """For the operator: a comparison that would take everything there is for wrong."""


class AccountExists(DomainError, code="ACCOUNT_EXISTS"):
    """For the operator."""

    def __init__(self, name: str) -> None:
        super().__init__(f'There is an account named "{name}" already. Choose another name.')


class AccountNotFound(DomainError, code="ACCOUNT_NOT_FOUND"):
    """For the operator."""

    def __init__(self, name: str) -> None:
        super().__init__(f'There is no account named "{name}". See: tryon-images accounts list')


class KeyNotFound(DomainError, code="KEY_NOT_FOUND"):
    """For the operator."""

    def __init__(self, key_id: str) -> None:
        super().__init__(f'There is no key with the id "{key_id}". See: tryon-images keys list')


class CustomerImageRequired(DomainError, code="CUSTOMER_IMAGE_REQUIRED"):
    """A try-on without a person."""

    message = "The photo of the person is missing. Send it as person.image.source."


class ProductImagesRequired(DomainError, code="PRODUCT_IMAGES_REQUIRED"):
    """A try-on without anything to wear."""

    message = 'The product has no images. Send them in its "images", or the externalId of a product sent before.'


class MultipartFileNotFound(DomainError, code="MULTIPART_FILE_NOT_FOUND"):
    """A `fileKey` that names no part of the form."""

    def __init__(self, path: str, parts: Sequence[str]) -> None:
        """`parts`: the names of those that came."""
        self.path = path
        came = f"The file parts were: {', '.join(parts)}." if parts else "No file came with the request."
        advice = "Send it as multipart/form-data, with the JSON in a part named data."
        super().__init__(f"{path}: there is no file part of that name. {came} {advice}")


class CustomerImageFetchFailed(DomainError, code="CUSTOMER_IMAGE_FETCH_FAILED"):
    """The URL of the person's photo led nowhere. Says nothing of what was found there."""

    def __init__(self, path: str) -> None:
        self.path = path
        super().__init__(_not_fetched(path))


class ProductImageFetchFailed(DomainError, code="PRODUCT_IMAGE_FETCH_FAILED"):
    """The URL of a product image led nowhere. Says nothing of what was found there."""

    def __init__(self, path: str) -> None:
        self.path = path
        super().__init__(_not_fetched(path))


def _not_fetched(path: str) -> str:
    return (
        f"{path}: the image could not be fetched. The URL has to be public, start with https://, and answer within"
        " seconds with a file no larger than an upload may be."
    )


class ErasureNotFound(DomainError, code="ERASURE_NOT_FOUND"):
    """Unknown, another account's, or one that found nothing and is long over."""

    message = "There is no such erasure."


class GenerationNotFound(DomainError, code="GENERATION_NOT_FOUND"):
    """Unknown, another account's, or long over."""

    message = "There is no such generation."


class ProductNotFound(DomainError, code="PRODUCT_NOT_FOUND"):
    """Never seen, not used for too long, another account's, or its pictures were deleted."""

    message = "There is no such product any more. Send it again with its images."


class ContentFiltered(DomainError, code="CONTENT_FILTERED"):
    """The engine's safety filter kept the result back; trying again does not help."""

    message = "The try-on was kept back by the engine's safety filter. Use another photo."


class EngineRefused(DomainError, code="ENGINE_REFUSED"):
    """The engine does not accept these photos, or answers with something that is no picture."""

    message = "The try-on engine did not accept the photos. Use other ones."


class EngineMisconfigured(DomainError, code="ENGINE_MISCONFIGURED"):
    """Wrong model, project, region or rights: only the operator can help."""

    message = "The try-on engine is not set up correctly. Please tell the service's operator."


class EngineUnavailable(DomainError, code="ENGINE_UNAVAILABLE"):
    """Quota, outage or time-out: another try can help. Ends a generation when its tries or its time are used up."""

    message = "The try-on engine is out of order or overloaded. Try again later."


class GenerationFailed(DomainError, code="GENERATION_FAILED"):
    """A bug of ours, or a machine that died at every try."""

    message = "The try-on failed for an internal reason. Try again later."
