"""A product of a merchant, remembered by the merchant's own id so that its pictures need not be sent again."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import ClassVar, Self

from domain.account import AccountId
from domain.image import ImageId
from domain.retention import RetentionPolicy

MAX_EXTERNAL_ID_CHARS = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class Product:
    """Pictures of one garment, the preferred one first.

    A product that the merchant named is found again for 15 days from its last use; one that came without a name gets
    one from us and lives for 7 days (HTTP contract, POST /try-on).
    """

    IDLE_LIFETIME: ClassVar = timedelta(days=15)
    ONE_SHOT_LIFETIME: ClassVar = timedelta(days=7)
    PICTURES: ClassVar = RetentionPolicy(RetentionPolicy.PRODUCT_DAYS)
    ONE_SHOT_PICTURES: ClassVar = RetentionPolicy(7)

    account_id: AccountId
    external_id: str
    images: tuple[ImageId, ...]
    expires_at: datetime
    is_one_shot: bool = False

    @classmethod
    def named(cls, account_id: AccountId, external_id: str, images: tuple[ImageId, ...], now: datetime) -> Self:
        return cls(account_id=account_id, external_id=external_id, images=images, expires_at=now + cls.IDLE_LIFETIME)

    @classmethod
    def one_shot(cls, account_id: AccountId, external_id: str, images: tuple[ImageId, ...], now: datetime) -> Self:
        return cls(
            account_id=account_id,
            external_id=external_id,
            images=images,
            expires_at=now + cls.ONE_SHOT_LIFETIME,
            is_one_shot=True,
        )

    def is_alive(self, now: datetime) -> bool:
        return now < self.expires_at

    def used(self, images: tuple[ImageId, ...], now: datetime) -> Self:
        """Used once more, with these pictures, which may be fresh copies."""
        expires_at = self.expires_at if self.is_one_shot else now + self.IDLE_LIFETIME
        return replace(self, images=images, expires_at=expires_at)


def is_product_id(text: str) -> bool:
    """1 to 256 characters; no NUL, which PostgreSQL cannot store."""
    return 1 <= len(text) <= MAX_EXTERNAL_ID_CHARS and "\0" not in text
