"""Ids out of the raw path: the framework's own path parameters lose encoded slashes and dots."""

from urllib.parse import unquote_to_bytes

from domain.errors import FieldProblem, ValidationFailed
from entrypoints.http.errors import AnyRequest


def last_segment(request: AnyRequest, name: str) -> str:
    """The last path segment, percent-decoded exactly once, byte for byte.

    Raises: ValidationFailed when it is empty, not valid UTF-8, or there are unencoded slashes in it.
    """
    raw: bytes = request.scope["raw_path"].partition(b"?")[0]
    prefix, _, segment = raw.rpartition(b"/")
    if not segment or prefix.count(b"/") != request.scope["path_template"].count("/") - 1:
        raise ValidationFailed((FieldProblem(name, "must be one percent-encoded path segment; encode / as %2F"),))
    try:
        return unquote_to_bytes(segment).decode()
    except UnicodeDecodeError as error:
        raise ValidationFailed((FieldProblem(name, "is not valid percent-encoded UTF-8"),)) from error
