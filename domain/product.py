"""A product of a merchant, remembered by the merchant's own id so that its pictures need not be sent again."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import ClassVar, Self

from domain.account import AccountId, RetentionPolicy
from domain.customer import MAX_EXTERNAL_ID_CHARS, is_external_id, unusable_id_problem
from domain.image import ImageId


@dataclass(frozen=True, slots=True, kw_only=True)
class ProductPicture:
    """One picture of the garment, and how to know it again when it is sent again.

    `source`: its URL; the digest of a file; or the id of the image that it was copied from. `etag` and `last_modified`
    are what the URL's server said of it. `is_lent`: an image of a customer, which goes when that customer goes.
    """

    FRESH_FOR: ClassVar = timedelta(days=1)
    """For so long a URL is not asked again whether it shows another picture now."""

    image_id: ImageId
    source: str
    kept_until: datetime
    checked_at: datetime
    digest: str | None = None
    etag: str | None = None
    last_modified: str | None = None
    is_lent: bool = False

    @property
    def url(self) -> str | None:
        return self.source if self.source.startswith(("https://", "http://")) else None

    def is_fresh(self, now: datetime) -> bool:
        return self.url is None or now < self.checked_at + self.FRESH_FOR


@dataclass(frozen=True, slots=True, kw_only=True)
class Product:
    """Pictures of one garment, the preferred one first.

    One that was registered stays as long as its merchant said, or until it is deleted. One that came with a try-on is
    found again for 15 days from its last use; without a name of its own it lives for 7 days.
    """

    IDLE_LIFETIME: ClassVar = timedelta(days=15)
    ONE_SHOT_LIFETIME: ClassVar = timedelta(days=7)
    PICTURES: ClassVar = RetentionPolicy(RetentionPolicy.PRODUCT_DAYS)
    RENEWED_BEFORE: ClassVar = timedelta(days=15)
    """So long before its end a picture is copied, if its product is to live on: outages of a fortnight do no harm."""
    LAST_CHANCE: ClassVar = timedelta(days=2)
    """Pictures are looked at once a day; at the latest then, one of a product that may be used again is copied."""
    RELEASED_AFTER: ClassVar = timedelta(minutes=20)
    """A picture that was replaced stays for try-ons that wait or run: longer than any of them may."""

    account_id: AccountId
    external_id: str
    pictures: tuple[ProductPicture, ...]
    created_at: datetime
    updated_at: datetime
    last_used_at: datetime
    expires_at: datetime | None
    is_one_shot: bool
    title: str | None = None
    description: str | None = None
    is_registered: bool = False

    @classmethod
    def tried_on(cls, account_id: AccountId, external_id: str, now: datetime, *, is_one_shot: bool = False) -> Self:
        """One that nobody registered, without its pictures."""
        return cls(
            account_id=account_id,
            external_id=external_id,
            pictures=(),
            created_at=now,
            updated_at=now,
            last_used_at=now,
            expires_at=now + (cls.ONE_SHOT_LIFETIME if is_one_shot else cls.IDLE_LIFETIME),
            is_one_shot=is_one_shot,
        )

    @property
    def is_mock(self) -> bool:
        """A free test path: no engine is asked, and the person's picture is the result."""
        return self.title == "mock"

    @property
    def images(self) -> tuple[ImageId, ...]:
        return tuple(picture.image_id for picture in self.pictures)

    @property
    def renew_at(self) -> datetime | None:
        """When to see whether its pictures have to be copied; None when it has none of its own."""
        own = [picture.kept_until for picture in self.pictures if not picture.is_lent]
        return min(own) - self.RENEWED_BEFORE if own else None

    def is_alive(self, now: datetime) -> bool:
        return self.expires_at is None or now < self.expires_at

    def used(self, now: datetime) -> Self:
        """Used once more."""
        is_fixed = self.is_one_shot or self.is_registered
        return replace(self, last_used_at=now, expires_at=self.expires_at if is_fixed else now + self.IDLE_LIFETIME)

    def needs_copy(self, picture: ProductPicture, now: datetime) -> bool:
        """Whether the picture has to be copied now, to be there as long as the product is or may be."""
        if now < picture.kept_until - self.RENEWED_BEFORE:
            return False
        if self.expires_at is None or picture.kept_until < self.expires_at:
            return True
        may_live_on = not (self.is_one_shot or self.is_registered)  # it may be used on its last day
        return may_live_on and picture.kept_until < now + self.LAST_CHANCE

    def registered(self, valid_for: timedelta | None, now: datetime) -> Self:
        """Kept for so long; without a time as long as before, or until it is deleted."""
        expires_at = now + valid_for if valid_for else self.expires_at if self.is_registered else None
        return replace(self, expires_at=expires_at, updated_at=now, is_registered=True, is_one_shot=False)


def product_id_problem(text: str) -> str | None:
    """What is wrong with an id that a client sends, for the client. A placeholder would be every product in turn."""
    if not is_external_id(text):
        return f"must be a string of 1 to {MAX_EXTERNAL_ID_CHARS} characters"
    return unusable_id_problem(text)
