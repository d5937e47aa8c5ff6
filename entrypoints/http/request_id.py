"""`x-request-id` on every answer: the caller's, when it is a sane one, or a new one."""

import re
import secrets
from typing import Any

from litestar.types import Scope

HEADER = "x-request-id"
SANE = re.compile(r"[A-Za-z0-9._-]{8,64}")
"""What may stand in a log line; anything else could carry a person's data or break the line."""


def request_id(scope: Scope) -> str:
    """The id of this request, the same however often it is asked for."""
    state: dict[str, Any] = scope.setdefault("state", {})
    if "request_id" not in state:
        sent = dict(scope["headers"]).get(HEADER.encode(), b"").decode("latin-1")
        state["request_id"] = sent if SANE.fullmatch(sent) else "req_" + secrets.token_urlsafe(12)
    return str(state["request_id"])
