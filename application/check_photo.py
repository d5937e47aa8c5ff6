"""Prepare a photo and keep nothing: the first half of an upload, and all of a check."""

from dataclasses import dataclass
from typing import Final

from application.fair_turns import FairTurns
from application.ports.photos import PhotoProcessor, PreparedPhoto
from domain.account import AccountId
from domain.cropping import Fit
from domain.errors import InvalidImage, UnsupportedImageFormat
from domain.foreign_file import described

NOTHING_CAME: Final = (
    "The file is empty: 0 bytes came. Send the photo's bytes; a stream that was read before has none left to send."
)


@dataclass(frozen=True, slots=True)
class CheckPhoto:
    """What is no photo is named, so that whoever sent it finds the mistake."""

    processor: PhotoProcessor
    turns: FairTurns

    async def execute(
        self, photo: bytes | bytearray | memoryview, account_id: AccountId, *, crop: bool, fit: Fit = Fit.CROP
    ) -> PreparedPhoto:
        """Raises: UnsupportedImageFormat, InvalidImage, ImageTooLarge; Overloaded."""
        if not len(photo):
            raise InvalidImage(NOTHING_CAME)
        try:
            async with self.turns.turn(account_id):
                return await self.processor.prepare(photo, crop=crop, fit=fit)
        except UnsupportedImageFormat:
            raise UnsupportedImageFormat(described(photo)) from None
