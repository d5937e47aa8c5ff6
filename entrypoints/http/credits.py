"""The route of an account's credits."""

from typing import Final

from litestar import get

from entrypoints.http.api_key import RequestWithKey
from entrypoints.http.schemas import CreditsBody

WITHOUT_LIMIT: Final = 1_000_000
"""What an account without a limit is told: clients compare numbers (HTTP contract)."""


@get("/account/credits", operation_id="getCredits", sync_to_thread=False)
def read_credits(request: RequestWithKey) -> CreditsBody:
    """How many try-ons are left."""
    credits_left = request.user.credits
    return CreditsBody(credit_balance=WITHOUT_LIMIT if credits_left is None else credits_left)
