"""The whole service on given adapters, every operation with a fault plan of its own, and the two promises."""

import hashlib
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

from adapters.memory.surroundings import InMemoryPhotoFetcher
from adapters.object_storage.hmac_links import HmacLinks
from adapters.system import LocalDiskReserve
from application.answer_once import AnswerOnce
from application.delete_images import DeleteImage, FinishDeletion, PurgeOverdue, PurgeReport
from application.erase_customer import EraseCustomer, ErasureOutcome, RecordedErasure, ReplayErasure
from application.fair_shares import FairTurns
from application.generations import GenerationOutcome, RunNextGeneration
from application.keep_picture import CopyPicture, KeepPicture
from application.keep_product import KeepProduct, WantedProduct
from application.ports.objects import DiskReserve, ObjectStore
from application.ports.photos import PhotoProcessor, PreparedPhoto
from application.ports.rows import UnitOfWork
from application.ports.system import RandomSource
from application.ports.try_on import TryOnEngine, TryOnPicture
from application.read_image import (
    FileSource,
    LinkedImage,
    OpenImage,
    OpenSource,
    PreviewLinks,
    ResolveImage,
    StoredSource,
)
from application.reconcile import Comparison, Reconcile
from application.start_try_on import StartedTryOn, StartTryOn, TryOnCommand
from application.upload_photo import CheckPhoto, UploadCommand, UploadPhoto
from domain.account import Account, RetentionPolicy
from domain.cropping import Fit
from domain.customer import Customer
from domain.errors import ImageNotFound
from domain.generation import Generation, GenerationId, Inputs
from domain.image import ImageId, ImageState, UploadedImage
from tests.builders import ACME, PSEUDONYMS, CountingRandom, MovableClock, a_stored_photo, nothing_to_renew, time_of
from tests.durability.faults import FaultyObjectStore, FaultyPort, FaultyUnitOfWork, Plan

LINKS = HmacLinks("http://photos.test", [b"k" * 32])
LONGEST_UPLOAD = timedelta(minutes=10)
RECOVERY_STEPS = (timedelta(minutes=2), UploadedImage.PENDING_LEASE, UploadedImage.PENDING_LEASE)
"""What a purger waits for: a deletion that was not finished, a dead upload, an upload that gave up just then."""


class PhotoAsItIs(PhotoProcessor):
    """Takes every photo for a finished picture: what is kept can be compared with what was sent."""

    async def prepare(self, photo: bytes | bytearray | memoryview, *, crop: bool, fit: Fit = Fit.CROP) -> PreparedPhoto:
        return PreparedPhoto(bytes(photo), replace(a_stored_photo(), size_bytes=len(photo)))


class PersonAsTheyAre(TryOnEngine):
    """Every result is the person's own picture."""

    name = "as-they-are"

    async def render(self, person_jpeg: bytes, garment_jpeg: bytes) -> TryOnPicture:
        return TryOnPicture(person_jpeg, a_stored_photo().size)

    async def check(self) -> None:
        """Always there."""

    async def close(self) -> None:
        """Nothing to end."""


@dataclass
class World:
    """One database and one bucket. `plan` says what goes wrong in an operation; the next one has its own."""

    work: UnitOfWork
    objects: ObjectStore
    clock: MovableClock = field(default_factory=MovableClock)
    random: RandomSource = field(default_factory=CountingRandom)
    disk_reserve: DiskReserve = field(default_factory=lambda: LocalDiskReserve((), 0))
    processor: PhotoProcessor = field(default_factory=PhotoAsItIs)

    async def upload(
        self,
        photo: bytes,
        plan: Plan | None = None,
        *,
        account: Account | None = None,
        customer: Customer | None = None,
        keep_for_days: int = 7,
        key: str | None = None,
    ) -> LinkedImage:
        """The whole request: it begins when the account is looked up, if it did not begin before."""
        account = account or await self.account()
        command = UploadCommand(
            account=account,
            photo=photo,
            customer=customer,
            retention=RetentionPolicy(keep_for_days),
            idempotency=PSEUDONYMS.request(account.account_id, key, hashlib.sha256(photo).digest()) if key else None,
        )
        return await self._upload_photo(plan).execute(command)

    async def try_on(
        self,
        person: ImageId | FileSource,
        garments: tuple[StoredSource | FileSource, ...],
        plan: Plan | None = None,
        *,
        account: Account | None = None,
        customer: Customer | None = None,
        product_id: str | None = "shirt",
        keep_for_days: int = 7,
        key: str | None = None,
    ) -> StartedTryOn:
        """The request; what it asks for is done by `work_off`."""
        account = account or await self.account()
        command = TryOnCommand(
            account=account,
            person=person if isinstance(person, FileSource) else StoredSource(person),
            product=WantedProduct(account=account, external_id=product_id, garments=garments),
            customer=customer,
            retention=RetentionPolicy(keep_for_days),
            idempotency=PSEUDONYMS.request(account.account_id, key, b"request") if key else None,
        )
        return await self._start_try_on(plan).execute(command)

    async def inputs_of(self, generation_id: GenerationId) -> Inputs:
        async with self.work.read() as repositories:
            generation = await repositories.generations.find(generation_id, ACME)
        assert generation is not None
        assert generation.inputs is not None
        return generation.inputs

    async def generations(self) -> tuple[Generation, ...]:
        async with self.work.read() as repositories:
            return await repositories.generations.page(ACME, None, 9)

    async def work_off(self, plan: Plan | None = None) -> GenerationOutcome | None:
        """One generation, if one waits."""
        work, objects, finish = self._ports(plan)
        run_next = RunNextGeneration(
            engine=self._faulty(PersonAsTheyAre(), plan),
            open_image=OpenImage(ResolveImage(work, self.clock), objects),
            keep_picture=KeepPicture(objects, work, finish, self.clock, self.disk_reserve),
            work=work,
            clock=self.clock,
            random=self.random,
            engine_time=timedelta(minutes=1),
        )
        return await run_next.execute()

    async def account(self) -> Account:
        """As it is when a request begins."""
        async with self.work.read() as repositories:
            account = await repositories.accounts.find(ACME)
        assert account is not None
        return account

    async def delete(self, image_id: ImageId, plan: Plan | None = None) -> None:
        work, _, finish = self._ports(plan)
        await DeleteImage(work, finish, self.clock).execute(image_id, ACME)

    async def erase(self, customer: Customer, plan: Plan | None = None) -> ErasureOutcome:
        work, _, finish = self._ports(plan)
        erase_customer = EraseCustomer(work, finish, self.clock, self.random, timedelta(days=30), LONGEST_UPLOAD)
        return await erase_customer.execute(customer)

    async def replay(self, entry: RecordedErasure, plan: Plan | None = None) -> int:
        work, _, finish = self._ports(plan)
        return await ReplayErasure(work, finish, self.clock, timedelta(days=30)).execute(entry)

    async def purge(self, plan: Plan | None = None) -> PurgeReport:
        work, objects, finish = self._ports(plan)
        return await PurgeOverdue(work, finish, objects, time_of(self.clock), nothing_to_renew, batch_size=3).execute()

    async def reconcile(self, plan: Plan | None = None, *, repair: bool) -> Comparison:
        work, objects, finish = self._ports(plan)
        steps = [done async for done in Reconcile(work, objects, finish, self.clock).execute(repair=repair)]
        return steps[-1]

    async def bytes_of(self, image_id: ImageId) -> bytes | None:
        """What a client gets to see."""
        try:
            return await OpenImage(ResolveImage(self.work, self.clock), self.objects).execute(image_id, ACME)
        except ImageNotFound:
            return None

    async def recover(self) -> None:
        """Everything works again, and time passes for the purger to look at what was interrupted."""
        for step in RECOVERY_STEPS:
            await self.purge()
            self.clock.time += step
        await self.purge()

    async def images_of(self, image_ids: tuple[ImageId, ...]) -> list[UploadedImage]:
        async with self.work.read() as repositories:
            found = [await repositories.images.find(image_id, ACME) for image_id in image_ids]
        return [image for image in found if image is not None]

    async def result_of(self, generation_id: GenerationId) -> UploadedImage:
        async with self.work.read() as repositories:
            generation = await repositories.generations.find(generation_id, ACME)
        assert generation is not None
        assert generation.result is not None
        return (await self.images_of((generation.result,)))[0]

    async def assert_nothing_is_left_behind(self, *, but_strays: bool = False) -> set[ImageId]:
        """Every row is stored and has its object, every object has its row. Returns: the images there are."""
        names = {name async for name in self.objects.names()}
        rows = {}
        async with self.work.read() as repositories:
            for days in RetentionPolicy.ALL_DAYS:
                for known in await repositories.images.known_after(RetentionPolicy(days), "", 10_000):
                    found = await repositories.images.find(known.image_id, ACME)
                    assert found is not None
                    rows[known.image_id] = found
        assert [image.image_id for image in rows.values() if image.state is not ImageState.STORED] == []
        assert [image.image_id for image in rows.values() if not image.is_readable(self.clock.now())] == []
        expected = {image.object_name for image in rows.values()}
        assert names == expected or (but_strays and names > expected)
        return set(rows)

    def _upload_photo(self, plan: Plan | None) -> UploadPhoto:
        work, objects, finish = self._ports(plan)
        return UploadPhoto(
            check_photo=CheckPhoto(self._faulty(self.processor, plan), FairTurns(8)),
            keep_picture=KeepPicture(objects, work, finish, self.clock, self.disk_reserve),
            links=PreviewLinks(self._faulty(LINKS, plan), self.clock, timedelta(minutes=15)),
            clock=self.clock,
            random=self.random,
        )

    def _start_try_on(self, plan: Plan | None) -> StartTryOn:
        work, objects, finish = self._ports(plan)
        keep_picture = KeepPicture(objects, work, finish, self.clock, self.disk_reserve)
        sources = OpenSource(ResolveImage(work, self.clock), InMemoryPhotoFetcher({}), LINKS, self.clock)
        upload_photo, delete_image = self._upload_photo(plan), DeleteImage(work, finish, self.clock)
        keep_product = KeepProduct(
            upload_photo=upload_photo,
            delete_image=delete_image,
            copy_picture=CopyPicture(keep_picture, objects, self.clock, self.random),
            sources=sources,
            work=work,
            clock=self.clock,
            random=self.random,
        )
        return StartTryOn(
            upload_photo=upload_photo,
            delete_image=delete_image,
            keep_product=keep_product,
            sources=sources,
            once=AnswerOnce(work, self.clock),
            work=work,
            clock=self.clock,
            random=self.random,
            max_waiting=50,
        )

    def _ports(self, plan: Plan | None) -> tuple[Any, Any, FinishDeletion]:
        work: Any = FaultyUnitOfWork(self.work, plan) if plan else self.work
        objects: Any = FaultyObjectStore(self.objects, plan) if plan else self.objects
        return work, objects, FinishDeletion(objects, work, self.clock)

    @staticmethod
    def _faulty(port: Any, plan: Plan | None) -> Any:
        return FaultyPort(port, plan) if plan else port
