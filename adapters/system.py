"""The system's clock and its random numbers."""

import secrets
from datetime import UTC, datetime

from domain.account import AccountId
from domain.generation import GenerationId, LeaseId
from domain.image import ErasureId, ImageId

ID_BYTES = 18
"""144 bits, 24 URL-safe characters; the contract asks for at least 128 bits."""


class SystemRandomSource:
    """Every name is unguessable, so that knowing one tells nothing about another."""

    def image_id(self) -> ImageId:
        return ImageId("img_" + secrets.token_urlsafe(ID_BYTES))

    def erasure_id(self) -> ErasureId:
        return ErasureId("era_" + secrets.token_urlsafe(ID_BYTES))

    def account_id(self) -> AccountId:
        return AccountId("acc_" + secrets.token_urlsafe(ID_BYTES))

    def generation_id(self) -> GenerationId:
        return GenerationId("gen_" + secrets.token_urlsafe(ID_BYTES))

    def lease_id(self) -> LeaseId:
        return LeaseId("lea_" + secrets.token_urlsafe(ID_BYTES))

    def product_id(self) -> str:
        return "prd_" + secrets.token_urlsafe(ID_BYTES)

    def api_key(self) -> str:
        return f"gk_{secrets.token_hex(6)}_{secrets.token_urlsafe(24)}"

    def salt(self) -> bytes:
        return secrets.token_bytes(16)


class SystemClock:
    """Trusts the host to keep its clock right (NTP)."""

    def now(self) -> datetime:
        return datetime.now(UTC)
