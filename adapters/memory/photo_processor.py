"""Photo processing in a thread of this process: for tests and offline tools, not for strangers' files."""

import asyncio

from application.ports.photos import PreparedPhoto
from application.prepare_photo import PreparePhoto
from domain.cropping import Fit


class InProcessPhotoProcessor:
    """No sandbox, no time limit: a photo that crashes the decoder takes this process along."""

    def __init__(self, prepare_photo: PreparePhoto) -> None:
        self._prepare_photo = prepare_photo

    async def start(self) -> None:
        """Nothing to start."""

    async def close(self) -> None:
        """Nothing to close."""

    async def check(self) -> None:
        """Always there."""

    async def prepare(self, photo: bytes | bytearray | memoryview, *, crop: bool, fit: Fit = Fit.CROP) -> PreparedPhoto:
        return await asyncio.to_thread(self._prepare_photo.execute, memoryview(photo), crop=crop, fit=fit)
