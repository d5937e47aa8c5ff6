"""Ids out of the raw path: the framework's own path parameters lose encoded slashes and dots."""

from urllib.parse import unquote_to_bytes

from domain.errors import FieldProblem, ValidationFailed
from entrypoints.http.errors import AnyRequest


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
