"""Keep a picture that is finished already: a result of an engine, or a copy of a product's image."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass

from application.ports.objects import ObjectStore
from application.ports.rows import ImageToDelete, PublishOutcome, Repositories, UnitOfWork
from application.ports.system import Clock
from application.purge import TAKE_OVER_AFTER, FinishDeletion
from domain.errors import Overloaded
from domain.image import StoredPhoto, UploadedImage

Condition = Callable[[Repositories], Awaitable[bool]]


@dataclass(frozen=True, slots=True)
class StorePicture:
    """The same life cycle as an upload's: the row exists before the object, and nothing outlives an erasure."""

    objects: ObjectStore
    work: UnitOfWork
    finish: FinishDeletion
    clock: Clock

    async def execute(
        self,
        image: UploadedImage,
        photo: StoredPhoto,
        jpeg: bytes,
        *,
        allowed: Condition,
        settle: Condition,
    ) -> bool:
        """Store the picture if it is `allowed` before any byte is written, and if `settle` agrees when all are.

        Both run inside a transaction, so that what they say holds when it is committed; `settle` may write, too.

        Returns: whether the picture is kept. Raises: Overloaded.
        """
        if not await self._reserve(image, allowed):
            return False
        try:
            await self.objects.put(image.object_name, jpeg)
            await self._publish(image, photo, settle)
        except _NotKept:
            await asyncio.shield(self._undo(image))
            return False
        except _Lapsed:
            await asyncio.shield(self._readmit(image))
            raise
        except BaseException:
            await asyncio.shield(self._give_up(image))
            raise
        return True

    async def _reserve(self, image: UploadedImage, allowed: Condition) -> bool:
        async with self.work.begin() as repositories:
            if image.customer is not None:
                await repositories.erasures.serialize(image.customer)
            if not await allowed(repositories):
                return False
            await repositories.images.reserve(image)
        return True

    async def _publish(self, image: UploadedImage, photo: StoredPhoto, settle: Condition) -> None:
        async with self.work.begin() as repositories:
            if image.customer is not None:
                await repositories.erasures.serialize(image.customer)
            outcome = await repositories.images.publish(image, photo)
            if outcome is PublishOutcome.LAPSED:
                raise _Lapsed
            if outcome is PublishOutcome.ERASED or not await settle(repositories):
                raise _NotKept

    async def _give_up(self, image: UploadedImage) -> None:
        """A put that failed may still arrive: the purger looks for the object once it cannot any more. If the commit
        has gone through after all, the picture is stored and stays.
        """
        with suppress(Overloaded):  # the caller hears of the first failure; the lease ends the row
            async with self.work.begin() as repositories:
                retry_at = self.clock.now() + UploadedImage.PENDING_LEASE
                await repositories.images.mark_upload_deleting(image.image_id, retry_at)

    async def _undo(self, image: UploadedImage) -> None:
        await self._give_up(image)
        with suppress(Overloaded):  # a purger does what is left to do
            await self.finish.execute((ImageToDelete(image.image_id, image.object_name),))

    async def _readmit(self, image: UploadedImage) -> None:
        """The lease ended and a purger may have ended the row: what was written since has to be found again."""
        with suppress(Overloaded):  # as above
            async with self.work.begin() as repositories:
                await repositories.images.reinstate(image, self.clock.now() + TAKE_OVER_AFTER)


class _NotKept(Exception):
    """Rolls the transaction back: the picture is not wanted any more."""


class _Lapsed(Overloaded):
    """Storing took longer than a reservation lasts."""
