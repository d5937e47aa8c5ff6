"""Delete one image at its account's word."""

from dataclasses import dataclass

from application.ports.rows import UnitOfWork
from application.ports.system import Clock
from application.purge import TAKE_OVER_AFTER, FinishDeletion
from domain.account import AccountId
from domain.errors import Overloaded
from domain.image import ImageId, is_image_id


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
            marked = await repositories.images.mark_deleting(image_id, account_id, self.clock.now() + TAKE_OVER_AFTER)
        if marked is not None and (await self.finish.execute((marked,))).left:
            raise Overloaded("Storage is not reachable. The image is unreachable and its bytes go when it is back.")
