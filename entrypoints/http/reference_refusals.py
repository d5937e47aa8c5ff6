"""What the API reference says of failures: the codes an operation answers with, each with the body that is sent."""

from collections import defaultdict
from collections.abc import Mapping
from typing import Final

import msgspec
from litestar.openapi import ResponseSpec
from litestar.openapi.spec import Example

from domain.errors import (
    CustomerErased,
    CustomerImageFetchFailed,
    CustomerImageRequired,
    DomainError,
    FieldProblem,
    FileRequired,
    FileTooLarge,
    GenerationNotFound,
    IdempotencyKeyInUse,
    IdempotencyKeyReused,
    ImageNotFound,
    ImageTooLarge,
    InvalidApiKey,
    InvalidImage,
    MissingApiKey,
    MultipartFileNotFound,
    Overloaded,
    ProductImageFetchFailed,
    ProductImagesRequired,
    ProductNotFound,
    QuotaExceeded,
    RateLimited,
    UnsupportedImageFormat,
    ValidationFailed,
)
from domain.retention import RetentionPolicy
from entrypoints.http.errors import STATUS
from entrypoints.http.schemas import ErrorBody, ProblemBody

WITHOUT_KEY: Final = ("INTERNAL_ERROR", "OVERLOADED")
WITH_KEY: Final = ("MISSING_API_KEY", "INVALID_API_KEY", "RATE_LIMITED", *WITHOUT_KEY)
"""What every operation behind an API key may answer with."""

_DAYS: Final = ", ".join(map(str, sorted(RetentionPolicy.ALLOWED_DAYS)))
_RAISED: Final[tuple[DomainError, ...]] = (
    MissingApiKey(),
    InvalidApiKey(),
    ValidationFailed((FieldProblem("keepForDays", f"must be one of {_DAYS}"),)),
    FileRequired(),
    InvalidImage(),
    ImageTooLarge(pixels=108_000_000, limit=64_000_000),
    FileTooLarge(limit_bytes=10 * 1024 * 1024),
    UnsupportedImageFormat(),
    ImageNotFound(),
    CustomerErased(),
    IdempotencyKeyInUse(),
    IdempotencyKeyReused(),
    CustomerImageRequired(),
    ProductImagesRequired(),
    MultipartFileNotFound("person.image.source.fileKey"),
    CustomerImageFetchFailed("person.image.source.url"),
    ProductImageFetchFailed("products.0.images.0.source.url"),
    GenerationNotFound(),
    ProductNotFound(),
    QuotaExceeded(limit=10_000),
    RateLimited(requests=100, retry_after_seconds=1),
    Overloaded(),
)
_MESSAGE: Final = {error.code: str(error) for error in _RAISED} | {
    "INTERNAL_ERROR": "Internal error.",
}
_PROBLEMS: Final = {
    error.code: [ProblemBody(path=problem.path, message=problem.message) for problem in error.problems]
    for error in _RAISED
    if isinstance(error, ValidationFailed)
}
_WHEN: Final = {
    "MISSING_API_KEY": "There is no `x-api-key` header.",
    "INVALID_API_KEY": "The key is unknown, revoked, or of an inactive account.",
    "VALIDATION_FAILED": "A field is malformed; `details` names every one. Or the body is not what it should be.",
    "FILE_REQUIRED": "There is no `file` part.",
    "INVALID_IMAGE": "The photo is empty, truncated, corrupt, or cannot be decoded.",
    "IMAGE_TOO_LARGE": "The photo has more pixels than the limit; decided before it is decoded.",
    "FILE_TOO_LARGE": "The file has more than 10 MB; decided while it is read.",
    "UNSUPPORTED_IMAGE_FORMAT": "Not a JPEG, PNG, WebP or HEIC photo, however it is named.",
    "IMAGE_NOT_FOUND": "Unknown, expired, deleted, or another account's.",
    "CUSTOMER_IMAGE_REQUIRED": "There is no photo of a person.",
    "PRODUCT_IMAGES_REQUIRED": "There is no product, or one with neither images nor an id.",
    "MULTIPART_FILE_NOT_FOUND": "A `fileKey` names no part of the form, or there is no form.",
    "CUSTOMER_IMAGE_FETCH_FAILED": "The person's photo could not be fetched, or may not be.",
    "PRODUCT_IMAGE_FETCH_FAILED": "A product image could not be fetched, or may not be.",
    "GENERATION_NOT_FOUND": "Unknown, another account's, or over for more than a month.",
    "PRODUCT_NOT_FOUND": "Never seen, or not used for 15 days; its images have to be sent again.",
    "CUSTOMER_ERASED": "The customer was erased while this upload was in flight. Nothing was kept.",
    "IDEMPOTENCY_KEY_IN_USE": "The first request with this key is still running. Comes with `Retry-After`.",
    "IDEMPOTENCY_KEY_REUSED": "The key was used for a different request.",
    "QUOTA_EXCEEDED": "As many live images as the account may have. Trying again does not help.",
    "RATE_LIMITED": "Over the account's rate. Comes with `Retry-After`.",
    "INTERNAL_ERROR": "A bug on our side; the body says nothing else.",
    "OVERLOADED": "The queue is full, or storage or database is down. Comes with `Retry-After`.",
}


def refusals(*codes: str) -> Mapping[int, ResponseSpec]:
    """The failures with these codes, by status, with an example of each code's body."""
    by_status: dict[int, list[str]] = defaultdict(list)
    for code in codes:
        by_status[STATUS[code]].append(code)
    return {
        status: ResponseSpec(
            ErrorBody,
            generate_examples=False,
            description="  \n".join(f"`{code}`: {_WHEN[code]}" for code in codes_of_status),
            examples=[Example(id=code, summary=code, value=_body(code)) for code in codes_of_status],
        )
        for status, codes_of_status in sorted(by_status.items())
    }


def _body(code: str) -> object:
    body = ErrorBody(code=code, message=_MESSAGE[code], status=STATUS[code], details=_PROBLEMS.get(code, msgspec.UNSET))
    return msgspec.to_builtins(body)
