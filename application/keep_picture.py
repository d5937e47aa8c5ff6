"""Keep a picture: reserve a row, put the object, publish the row; the one way for uploads, results and copies."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

from application.delete_images import TAKE_OVER_AFTER, FinishDeletion
from application.ports.objects import DiskReserve, ObjectStore
from application.ports.rows import ImageToDelete, PublishOutcome, Repositories, UnitOfWork
from application.ports.system import Clock, RandomSource
from domain.errors import CustomerErased, ImageNotFound, Overloaded
from domain.image import StoredPhoto, UploadedImage
from domain.product import Product

T = TypeVar("T")
Check = Callable[[Repositories], Awaitable[T]]
"""Runs inside a transaction, and raises what ends it without effect."""
ATTEMPTS = 3


async def _nothing(_: Repositories) -> None:
    """Nothing more is to be done when an image is published."""


@dataclass(frozen=True, slots=True)
class KeepPicture:
    """Whatever fails, no object is left without a row and no row without a way to its end.

    A put may take longer than its reservation lasts, and a purger may have removed the row by then. Whoever put the
    bytes therefore says what becomes of them, and makes the row again if it has to.
    """

    objects: ObjectStore
    work: UnitOfWork
    finish: FinishDeletion
    clock: Clock
    disk_reserve: DiskReserve

    async def reserve(self, image: UploadedImage, admit: Check[T | None]) -> T | None:
        """Commit a pending row before any byte exists; not if `admit` finds something that takes its place.

        Returns: what `admit` found; None when the row is there. Raises: what `admit` raises; IdempotencyKeyInUse,
        Overloaded.
        """
        await self.disk_reserve.expect()
        try:
            async with self.work.begin() as repositories:
                if image.customer is not None:
                    await repositories.erasures.serialize(image.customer)
                found = await admit(repositories)
                if found is None:
                    await repositories.images.reserve(image)
            return found
        except (Overloaded, asyncio.CancelledError):  # the commit may have gone through
            await asyncio.shield(self.forget(image))
            raise

    async def forget(self, image: UploadedImage) -> None:
        """Remove the row alone: no object was ever written for it. If that fails too, the lease ends the row."""
        with suppress(Overloaded):
            async with self.work.begin() as repositories:
                await repositories.images.remove([image.image_id])

    async def execute(
        self, image: UploadedImage, photo: StoredPhoto, jpeg: bytes, settle: Check[None] = _nothing
    ) -> None:
        """Store the bytes of a reserved image and publish it; `settle` is part of that transaction, and may write.

        Raises: what `settle` raises; CustomerErased, Overloaded. The picture is not kept then.
        """
        await self._put(image, jpeg)
        try:
            await self._publish(image, photo, settle)
        except BaseException as error:
            is_kept = await asyncio.shield(self._undo(image))
            if not (is_kept and isinstance(error, Overloaded)):
                raise

    async def _put(self, image: UploadedImage, jpeg: bytes) -> None:
        try:
            await self.disk_reserve.expect()  # others that were let in before have put theirs meanwhile
            await self.objects.put(image.object_name, jpeg)
        except BaseException:  # it may still arrive: a purger looks for the object once it cannot any more
            with suppress(Overloaded):
                await asyncio.shield(self._abandon(image, UploadedImage.PENDING_LEASE))
            raise

    async def _publish(self, image: UploadedImage, photo: StoredPhoto, settle: Check[None]) -> None:
        async with self.work.begin() as repositories:
            if image.customer is not None:
                await repositories.erasures.serialize(image.customer)
            outcome = await repositories.images.publish(image, photo)
            if outcome is PublishOutcome.LAPSED:
                raise Overloaded
            if outcome is PublishOutcome.ERASED:
                raise CustomerErased
            await settle(repositories)

    async def _undo(self, image: UploadedImage) -> bool:
        """Returns: whether there is nothing to undo, because a commit that seemed to fail went through."""
        with suppress(Overloaded):  # a purger does what is left to do
            marked = await self._abandon(image, TAKE_OVER_AFTER)
            if marked is None:
                return True
            await self.finish.execute((marked,))
        return False

    async def _abandon(self, image: UploadedImage, later: timedelta) -> ImageToDelete | None:
        """Raises: Overloaded. One lost transaction is not enough to lose an object whose row is gone already."""
        for _ in range(ATTEMPTS - 1):
            with suppress(Overloaded):
                return await self._abandon_once(image, later)
        return await self._abandon_once(image, later)

    async def _abandon_once(self, image: UploadedImage, later: timedelta) -> ImageToDelete | None:
        async with self.work.begin() as repositories:
            return await repositories.images.abandon(image, self.clock.now() + later)


@dataclass(frozen=True, slots=True)
class CopyPicture:
    """Keep a picture as a product's own: objects never change their retention."""

    keep_picture: KeepPicture
    objects: ObjectStore
    clock: Clock
    random: RandomSource

    async def execute(self, image: UploadedImage) -> UploadedImage:
        """Returns: the copy. Raises: ImageNotFound: the image went away meanwhile; Overloaded."""
        jpeg = await self.objects.get(image.object_name)
        if jpeg is None or image.photo is None:
            raise ImageNotFound
        copy = UploadedImage(
            image_id=self.random.image_id(),
            account_id=image.account_id,
            customer=None,
            retention=Product.PICTURES,
            created_at=self.clock.now().replace(microsecond=0),
        )

        async def expect_there(repositories: Repositories) -> None:
            held = await repositories.images.hold(image.image_id, image.account_id)
            if held is None or not held.is_readable(self.clock.now()):
                raise ImageNotFound

        await self.keep_picture.reserve(copy, expect_there)
        await self.keep_picture.execute(copy, image.photo, jpeg, expect_there)
        return copy
