"""Query parameters of lists: how many, and from where on."""

from typing import Annotated

from litestar.params import QueryParameter

from domain.errors import FieldProblem, ValidationFailed

Limit = Annotated[str | None, QueryParameter(name="limit")]
Cursor = Annotated[str | None, QueryParameter(name="cursor")]


def page_limit(text: str | None, default: int, most: int) -> int:
    """Raises: ValidationFailed. Not left to the framework, which would name neither the field nor the limit."""
    if text is None:
        return default
    number = int(text) if text.isascii() and text.isdigit() and len(text) <= len(str(most)) else 0
    if not 1 <= number <= most:
        raise ValidationFailed((FieldProblem("limit", f"must be a whole number from 1 to {most}"),))
    return number
