"""Delete images: the one that its account names, and whatever was marked for deletion."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from application.audit import audited, is_by_operator
from application.ports.objects import ObjectStore
from application.ports.rows import ImageToDelete, UnitOfWork
from application.ports.system import Clock
from domain.account import AccountId
from domain.audit import Action
from domain.errors import Overloaded
from domain.image import ImageId, is_image_id

TAKE_OVER_AFTER = timedelta(minutes=1)
"""How long a purger leaves an image to whoever is deleting it just now."""


@dataclass(frozen=True, slots=True)
class Finished:
    """`left`: the images whose objects may still be there; a purger tries them again."""

    left: frozenset[ImageId]
    erasures_completed: int


@dataclass(frozen=True, slots=True)
class FinishDeletion:
    """The last two steps of every deletion: the object goes, then the row."""

    objects: ObjectStore
    work: UnitOfWork
    clock: Clock

    async def execute(self, marked: Sequence[ImageToDelete]) -> Finished:
        """Raises: Overloaded: the database is down; every row that is left is a purger's work."""
        left = await self.objects.delete([image.object_name for image in marked])
        async with self.work.begin() as repositories:
            await repositories.images.remove(
                [image.image_id for image in marked if image.object_name not in left and not image.is_in_flight]
            )
            completed = await repositories.erasures.complete_records(self.clock.now())
        return Finished(frozenset(image.image_id for image in marked if image.object_name in left), completed)


@dataclass(frozen=True, slots=True)
class DeleteImage:
    """Unreachable at once; an outage delays only the bytes. Deleting twice is the same as deleting once."""

    work: UnitOfWork
    finish: FinishDeletion
    clock: Clock

    async def execute(self, image_id: ImageId, account_id: AccountId) -> None:
        """Raises: Overloaded: the image is unreachable (if the database was there) but its bytes may still exist."""
        if not is_image_id(image_id):
            return
        async with self.work.begin() as repositories:
            now = self.clock.now()
            marked = await repositories.images.mark_deleting(image_id, account_id, now + TAKE_OVER_AFTER)
            if marked is not None and is_by_operator():
                await repositories.audit.add(audited(now, Action.IMAGE_DELETED, account_id, image_id))
        if marked is not None and (await self.finish.execute((marked,))).left:
            raise Overloaded("Storage is not reachable. The image is unreachable and its bytes go when it is back.")
