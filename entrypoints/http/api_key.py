"""Who is asking, and whether it is too often: settled before a byte of the body is read."""

import math
from typing import Any, Final, TypeAlias

from litestar import Request
from litestar.connection import ASGIConnection
from litestar.datastructures import MutableScopeHeaders
from litestar.handlers import BaseRouteHandler
from litestar.types import Guard, Message, Scope

from adapters.telemetry.stages import note
from application.authenticate import Authenticate
from application.limit_rate import LimitRate, RateBucket
from domain.account import Account
from domain.errors import RateLimited
from domain.rate_limit import Allowance

RequestWithKey: TypeAlias = Request[Account, Any, Any]
API_KEY_HEADER: Final = "x-api-key"
RATE_BUCKET: Final = "rate_bucket"
"""In a route's `opt`: which bucket its requests come out of."""


def key_guard(authenticate: Authenticate, limit_rate: LimitRate) -> Guard:
    """What runs before every route of the API: afterwards `request.user` is the account of the request's key."""

    async def guard(connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler) -> None:
        """Raises: MissingApiKey, InvalidApiKey, RateLimited, Overloaded."""
        if isinstance(connection, Request) and connection.method == "OPTIONS":
            return  # which methods there are is no secret, and a browser asks without the key
        account = await authenticate.execute(connection.headers.get(API_KEY_HEADER))
        connection.scope["user"] = account
        note(account_id=account.account_id)
        bucket = handler.opt.get(RATE_BUCKET, RateBucket.REQUESTS)
        allowance = await limit_rate.execute(account, bucket)
        if allowance is not None:
            connection.scope["state"]["rate"] = (bucket, allowance)
            if not allowance.is_granted:
                raise RateLimited(allowance.limit.requests, _seconds(allowance.next_after.total_seconds()))

    return guard


async def announce_rate(message: Message, scope: Scope) -> None:
    """`RateLimit-Policy` and `RateLimit` on every answer that was counted (draft-ietf-httpapi-ratelimit-headers-10)."""
    if message["type"] == "http.response.start" and (counted := scope["state"].get("rate")) is not None:
        bucket, allowance = counted
        headers = MutableScopeHeaders.from_message(message)
        headers["ratelimit-policy"] = _policy(bucket, allowance)
        headers["ratelimit"] = _state(bucket, allowance)


def _policy(bucket: RateBucket, allowance: Allowance) -> str:
    """q: requests in a window of w seconds."""
    return f'"{bucket}";q={allowance.limit.requests};w={_seconds(allowance.limit.window.total_seconds())}'


def _state(bucket: RateBucket, allowance: Allowance) -> str:
    """r: requests that are left; t: seconds until all of them are there again."""
    return f'"{bucket}";r={allowance.remaining};t={_seconds(allowance.full_after.total_seconds())}'


def _seconds(seconds: float) -> int:
    """Whole ones, rounded up: whoever waits as long as was said is not refused again."""
    return math.ceil(seconds)
