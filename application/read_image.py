"""Look an image up again."""

from dataclasses import dataclass

from application.preview_link import LinkedImage, PreviewLinks
from application.resolve_image import ResolveImage
from domain.account import AccountId
from domain.image import ImageId


@dataclass(frozen=True, slots=True)
class ReadImage:
    """The same facts as after the upload, with a fresh link."""

    resolve: ResolveImage
    links: PreviewLinks

    async def execute(self, image_id: ImageId, account_id: AccountId) -> LinkedImage:
        """Raises: ImageNotFound, Overloaded."""
        return await self.links.link(await self.resolve.execute(image_id, account_id))
