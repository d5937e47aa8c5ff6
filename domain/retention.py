"""Retention: the days that a photo is kept."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import ClassVar


@dataclass(frozen=True, slots=True)
class RetentionPolicy:
    """A whole number of days counted from the upload (HTTP contract, `keepForDays`)."""

    ALLOWED_DAYS: ClassVar = (1, 3, 7)
    """What a client may ask for."""
    PROBLEM: ClassVar = "must be 1, 3 or 7"
    PRODUCT_DAYS: ClassVar = 30
    """For pictures of products: twice the 15 days that a product may go unused, so that one used every day is copied
    once in a fortnight and no object ever outlives its class."""
    ALL_DAYS: ClassVar = (*ALLOWED_DAYS, PRODUCT_DAYS)

    keep_for_days: int

    def __post_init__(self) -> None:
        if self.keep_for_days not in self.ALL_DAYS:
            raise ValueError(f"keep_for_days must be one of {self.ALL_DAYS}, got {self.keep_for_days}")

    def expires_at(self, uploaded_at: datetime) -> datetime:
        """The exact instant, in UTC, from which the photo is gone."""
        return uploaded_at + timedelta(days=self.keep_for_days)
