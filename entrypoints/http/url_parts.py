"""Ids in the path and the page of a list, read out of the URL by ourselves: the framework's own path parameters lose
encoded slashes and dots, and its refusals name neither the field nor the limit.
"""

from typing import Annotated
from urllib.parse import unquote_to_bytes

from litestar.params import QueryParameter

from domain.errors import FieldProblem, ValidationFailed
from entrypoints.http.errors import AnyRequest

Limit = Annotated[str | None, QueryParameter(name="limit")]
Cursor = Annotated[str | None, QueryParameter(name="cursor")]


def page_limit(text: str | None, default: int, most: int) -> int:
    """Raises: ValidationFailed."""
    if text is None:
        return default
    number = int(text) if text.isascii() and text.isdigit() and len(text) <= len(str(most)) else 0
    if not 1 <= number <= most:
        raise ValidationFailed((FieldProblem("limit", f"must be a whole number from 1 to {most}"),))
    return number


def id_at_the_end(request: AnyRequest, name: str, prefix: str) -> str:
    """All of the path after `prefix`, percent-decoded exactly once, byte for byte.

    Slashes may come as they are: many proxies decode `%2F`. Raises: ValidationFailed when it is empty or not valid
    UTF-8, when the route is not spelled as documented (it would move what is taken for the id), or with a query string,
    which is a `?` that somebody forgot to encode.
    """
    raw, question_mark, _ = request.scope["raw_path"].partition(b"?")
    if question_mark or request.scope["query_string"]:
        raise ValidationFailed((FieldProblem(name, "must not be followed by a query string; encode ? as %3F"),))
    if not raw.startswith(prefix.encode()) or len(raw) == len(prefix):
        raise ValidationFailed((FieldProblem(name, "must follow the path of this call, percent-encoded"),))
    try:
        return unquote_to_bytes(raw[len(prefix) :]).decode()
    except UnicodeDecodeError as error:
        raise ValidationFailed((FieldProblem(name, "is not valid percent-encoded UTF-8"),)) from error
