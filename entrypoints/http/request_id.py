"""`x-request-id` on every answer: the caller's, when it is a sane one, or a new one."""

import re
import secrets

from litestar.types import Scope

HEADER = b"x-request-id"
REQUEST_ID = "request_id"
"""In the request's state: the id that its answer carries."""
SANE = re.compile(rb"[A-Za-z0-9._-]{8,64}")
"""What may stand in a log line; anything else could carry a person's data or break the line."""


def request_id(scope: Scope) -> str:
    """What to call this request."""
    sent = next((value for name, value in scope["headers"] if name == HEADER), b"")
    return sent.decode() if SANE.fullmatch(sent) else "req_" + secrets.token_urlsafe(12)
