"""Access by a person (GDPR Art. 15): all that is held of one customer, found by the id that the shop knows."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import datetime

from application.ports.rows import CustomerTraces, UnitOfWork
from application.ports.system import Clock
from application.read_image import OpenImage
from domain.customer import Customer
from domain.errors import ImageNotFound
from domain.generation import Generation
from domain.image import ImageId, UploadedImage

PAGE = 500


@dataclass(frozen=True, slots=True)
class Holdings:
    """`images`: those that can be read now, results of try-ons too; `traces` counts rows in every state, and of
    idempotency records those of try-ons as well.

    Try-ons that ended long ago, or whose result is gone, name nobody any more and are not here.
    """

    images: tuple[UploadedImage, ...]
    try_ons: tuple[Generation, ...]
    traces: CustomerTraces
    marked_until: datetime | None

    @property
    def results(self) -> frozenset[ImageId]:
        """Those of the images that a try-on made."""
        made = {try_on.result for try_on in self.try_ons}
        return frozenset(image.image_id for image in self.images if image.image_id in made)


@dataclass(frozen=True, slots=True)
class ReadHoldings:
    """Reads only; what ends meanwhile is left out."""

    work: UnitOfWork
    open_image: OpenImage
    clock: Clock

    async def execute(self, customer: Customer) -> Holdings:
        """Raises: Overloaded."""
        images = [image async for image in self._images(customer)]
        async with self.work.read() as repositories:
            traces = await repositories.images.traces_of(customer)
            records = traces.idempotency_records + len(await repositories.requests.key_digests_of(customer))
            return Holdings(
                images=tuple(sorted(images, key=lambda image: (image.created_at, image.image_id))),
                try_ons=await repositories.generations.of_customer(customer, [image.image_id for image in images]),
                traces=replace(traces, idempotency_records=records),
                marked_until=await repositories.erasures.marked_until(customer),
            )

    async def picture(self, image: UploadedImage) -> bytes | None:
        """JPEG; None when it has expired or was deleted meanwhile. Raises: Overloaded."""
        try:
            return await self.open_image.execute(image.image_id, image.account_id)
        except ImageNotFound:
            return None

    async def _images(self, customer: Customer) -> AsyncIterator[UploadedImage]:
        after = ""
        while True:
            async with self.work.read() as repositories:
                page = await repositories.images.stored_of(customer, after, PAGE)
            for image in page:
                if image.is_readable(self.clock.now()):
                    yield image
            if len(page) < PAGE:
                return
            after = page[-1].image_id
