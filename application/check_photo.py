"""Prepare a photo and keep nothing: the first half of an upload, and all of a check."""

from dataclasses import dataclass
from typing import Final

from application.ports.photos import PhotoProcessor, PreparedPhoto
from domain.errors import InvalidImage, UnsupportedImageFormat
from domain.foreign_file import described

NOTHING_CAME: Final = (
    "The file is empty: 0 bytes came. Send the photo's bytes; a stream that was read before has none left to send."
)


@dataclass(frozen=True, slots=True)
class CheckPhoto:
    """What is no photo is named, so that whoever sent it finds the mistake."""

    processor: PhotoProcessor

    async def execute(self, photo: bytes | bytearray | memoryview, *, crop: bool) -> PreparedPhoto:
        """Raises: UnsupportedImageFormat, InvalidImage, ImageTooLarge; Overloaded."""
        if not len(photo):
            raise InvalidImage(NOTHING_CAME)
        try:
            return await self.processor.prepare(photo, crop=crop)
        except UnsupportedImageFormat:
            raise UnsupportedImageFormat(described(photo)) from None
