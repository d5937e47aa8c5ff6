"""An uploaded photo from the moment its place is reserved until nothing is left of it."""

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import ClassVar, NewType

from domain.account import AccountId, RetentionPolicy
from domain.customer import Customer, IdempotencyRecord
from domain.geometry import Box, Padding, Size
from domain.person import PersonReport
from domain.photo import PhotoWarning, SourceFormat

ImageId = NewType("ImageId", str)
ErasureId = NewType("ErasureId", str)

_DAYS = "|".join(map(str, RetentionPolicy.ALL_DAYS))
OBJECT_NAME = re.compile(rf"ttl-(?P<days>{_DAYS})d/(?P<image_id>img_[A-Za-z0-9_-]+)\.jpg")
_EVER_GIVEN = re.compile(r"[A-Za-z0-9_-]{1,64}")


def is_id(text: str) -> bool:
    """Whether we can have given this id to anything. Others need no lookup, and no database would take some (NUL)."""
    return _EVER_GIVEN.fullmatch(text) is not None


class ImageState(StrEnum):
    """pending -> stored -> deleting -> gone; "gone" is the absence of a row.

    The row exists before the object, and the object is gone before the row is: what a crash interrupts can always be
    found again from the database alone.
    """

    PENDING = "pending"
    STORED = "stored"
    DELETING = "deleting"


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredPhoto:
    """The facts about the picture that is kept; boxes in pixels of the upright source, the padding in stored ones.

    `content` is where the photo itself lies in a source that has a frame or bars.
    """

    size: Size
    size_bytes: int
    source_format: SourceFormat
    source_size: Size
    crop: Box | None = None
    person: PersonReport | None = None
    warnings: tuple[PhotoWarning, ...] = ()
    pad: Padding | None = None
    content: Box | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadedImage:
    """A photo of an account, possibly of a known customer."""

    PENDING_LEASE: ClassVar = timedelta(minutes=5)
    """An upload that has not finished by then has died: queue, work and storage time-outs fit well inside."""

    image_id: ImageId
    account_id: AccountId
    customer: Customer | None
    retention: RetentionPolicy
    created_at: datetime
    state: ImageState = ImageState.PENDING
    photo: StoredPhoto | None = None
    idempotency: IdempotencyRecord | None = None

    @property
    def expires_at(self) -> datetime:
        return self.retention.expires_at(self.created_at)

    @property
    def object_name(self) -> str:
        """Where the bytes lie. The retention class stands first, so that a bucket's lifecycle rules can match it."""
        return object_name(self.image_id, self.retention)

    @property
    def is_of_product(self) -> bool:
        """A picture of a product is no customer's, and is not counted as one."""
        return self.retention.keep_for_days == RetentionPolicy.PRODUCT_DAYS

    def is_readable(self, now: datetime) -> bool:
        """From `expires_at` on nobody reads it, whether or not a purger has come by."""
        return self.state is ImageState.STORED and not self.is_over(now)

    def is_over(self, now: datetime) -> bool:
        """Whether its time is up, in whatever state it is."""
        return now >= self.expires_at

    def link_expires_at(self, now: datetime, lifetime: timedelta) -> datetime:
        """A signed URL never outlives the photo it shows. Whole seconds, as signatures carry them."""
        return min((now + lifetime).replace(microsecond=0), self.expires_at)


def object_name(image_id: ImageId, retention: RetentionPolicy) -> str:
    """`ttl-7d/img_….jpg`: no personal data, retention class first."""
    return f"ttl-{retention.keep_for_days}d/{image_id}.jpg"


def image_id_in(name: str) -> ImageId | None:
    """Whose bytes lie under an object name; None for what is not one of our images' objects."""
    matched = OBJECT_NAME.fullmatch(name)
    return ImageId(matched["image_id"]) if matched else None
