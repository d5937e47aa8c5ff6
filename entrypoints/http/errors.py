"""From failures to answers: the one table of codes and statuses, and the one place that makes error bodies."""

from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeAlias

import structlog
from litestar import MediaType, Request, Response
from litestar.exceptions import HTTPException

from domain.errors import DomainError, FieldProblem, ValidationFailed
from entrypoints.http.edge import CLIENT_LEFT_CODE, REQUEST_ID
from entrypoints.http.schemas import ErrorBody
from entrypoints.server.logging import told

AnyRequest = Request[Any, Any, Any]
Headers: TypeAlias = Mapping[str, str]
Problems: TypeAlias = Sequence[FieldProblem]
log = structlog.get_logger()

STATUS: Final = {
    "VALIDATION_FAILED": 400,
    "FILE_REQUIRED": 400,
    "INVALID_IMAGE": 400,
    "IMAGE_TOO_LARGE": 400,
    "CUSTOMER_IMAGE_REQUIRED": 400,
    "PRODUCT_IMAGES_REQUIRED": 400,
    "MULTIPART_FILE_NOT_FOUND": 400,
    "CUSTOMER_IMAGE_FETCH_FAILED": 400,
    "PRODUCT_IMAGE_FETCH_FAILED": 400,
    "MISSING_API_KEY": 401,
    "INVALID_API_KEY": 401,
    "INVALID_TICKET": 401,
    "INSUFFICIENT_CREDITS": 402,
    "FORBIDDEN": 403,
    "QUOTA_EXCEEDED": 403,
    "IMAGE_NOT_FOUND": 404,
    "ERASURE_NOT_FOUND": 404,
    "GENERATION_NOT_FOUND": 404,
    "PRODUCT_NOT_FOUND": 404,
    "NOT_FOUND": 404,
    "METHOD_NOT_ALLOWED": 405,
    "CUSTOMER_ERASED": 409,
    "TICKET_USED": 409,
    "IDEMPOTENCY_KEY_IN_USE": 409,
    "REQUEST_TIMEOUT": 408,
    "FILE_TOO_LARGE": 413,
    "UNSUPPORTED_IMAGE_FORMAT": 415,
    "UNSUPPORTED_CONTENT_ENCODING": 415,
    "IDEMPOTENCY_KEY_REUSED": 422,
    "RATE_LIMITED": 429,
    "INTERNAL_ERROR": 500,
    "OVERLOADED": 503,
}
FRAMEWORK: Final = {
    400: ("VALIDATION_FAILED", "The request is malformed."),
    404: ("NOT_FOUND", "There is no such route."),
    405: ("METHOD_NOT_ALLOWED", "The route does not support this method; see the Allow header."),
    413: ("FILE_TOO_LARGE", "The request body is larger than any upload may be. Send a smaller file."),
}
CLIENT_LEFT: Final = "client disconnected prematurely"
"""Litestar's own words, for a client that went away, for a body that broke off, and for chunks that are none."""
BROKEN_OFF: Final = FieldProblem("body", "broke off before its end, or is not chunked as it should be")


def error_response(
    request: AnyRequest, code: str, message: str, *, headers: Headers | None = None, problems: Problems = ()
) -> Response[ErrorBody]:
    """An error in the contract's shape."""
    request.state.error_code = code
    body = ErrorBody(
        code=code,
        message=message,
        status=STATUS[code],
        request_id=request.scope["state"][REQUEST_ID],
        details=tuple(problems),
    )
    return Response(body, status_code=STATUS[code], headers=dict(headers or {}), media_type=MediaType.JSON)


def to_error_response(request: AnyRequest, error: Exception) -> Response[ErrorBody]:
    """Whatever was raised, in whatever part of the framework or of ours."""
    if isinstance(error, DomainError):
        return _domain_error(request, error)
    if isinstance(error, HTTPException) and error.status_code in FRAMEWORK:
        code, message = FRAMEWORK[error.status_code]
        allow = {name: value for name, value in (error.headers or {}).items() if name.lower() == "allow"}
        return error_response(request, code, message, headers=allow)
    if isinstance(error, HTTPException) and error.detail == CLIENT_LEFT:
        answer = _domain_error(request, ValidationFailed((BROKEN_OFF,)))
        request.state.error_code = CLIENT_LEFT_CODE  # who only closed its sending half still reads the answer
        return answer
    log.error("unhandled_error", **told(error))
    return error_response(request, "INTERNAL_ERROR", "Internal error.")


def _domain_error(request: AnyRequest, error: DomainError) -> Response[ErrorBody]:
    retry_after = getattr(error, "retry_after_seconds", None)
    problems: Problems = error.problems if isinstance(error, ValidationFailed) else ()
    if error.path and not problems:
        problems = (FieldProblem(error.path, str(error)),)
    headers = {"retry-after": str(retry_after)} if retry_after is not None else {}
    return error_response(request, error.code, str(error), headers=headers, problems=problems)
