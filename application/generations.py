"""Generations: run those that wait, and read how far they are, with links to their results."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import ClassVar, Final

from application.keep_picture import KeepPicture
from application.ports.rows import Repositories, UnitOfWork
from application.ports.system import Clock, RandomSource
from application.ports.try_on import TryOnEngine, TryOnPicture
from application.read_image import LinkedImage, OpenImage, PreviewLinks
from domain.account import AccountId
from domain.errors import (
    DomainError,
    EngineRefused,
    EngineUnavailable,
    GenerationFailed,
    GenerationNotFound,
    ImageNotFound,
    Overloaded,
)
from domain.generation import Failure, Generation, GenerationId, GenerationStatus, Inputs
from domain.image import ImageId, StoredPhoto, UploadedImage, is_id
from domain.photo import SourceFormat

RESULT_GONE: Final = Failure("RESULT_GONE", "The result has expired or was deleted.")


@dataclass(frozen=True, slots=True)
class GenerationReport:
    """`result` is there exactly when the generation is completed: without its picture it counts as failed."""

    generation: Generation
    result: LinkedImage | None


@dataclass(frozen=True, slots=True)
class ReadGeneration:
    """`links` make links of the lifetime that results have."""

    work: UnitOfWork
    links: PreviewLinks
    clock: Clock

    async def execute(self, generation_id: GenerationId, account_id: AccountId) -> GenerationReport:
        """Raises: GenerationNotFound: unknown, another account's, or long over; Overloaded."""
        if not is_id(generation_id):
            raise GenerationNotFound
        async with self.work.read() as repositories:
            generation = await repositories.generations.find(generation_id, account_id)
            if generation is None:
                raise GenerationNotFound
            image = await repositories.images.find(generation.result, account_id) if generation.result else None
        return await self._report(generation, image)

    async def page(
        self, account_id: AccountId, before: GenerationId | None, limit: int
    ) -> tuple[tuple[GenerationReport, ...], bool]:
        """Returns: at most `limit`, newest first, from the first one older than `before`; whether there are more.

        Raises: GenerationNotFound: there is no `before`; Overloaded.
        """
        if before and not is_id(before):
            raise GenerationNotFound
        async with self.work.read() as repositories:
            start = await repositories.generations.find(before, account_id) if before else None
            if before and start is None:
                raise GenerationNotFound
            found = await repositories.generations.page(account_id, start, limit + 1)
            images = [
                await repositories.images.find(each.result, account_id) if each.result else None
                for each in found[:limit]
            ]
        reports = [await self._report(each, image) for each, image in zip(found, images, strict=False)]
        return tuple(reports), len(found) > limit

    async def _report(self, generation: Generation, image: UploadedImage | None) -> GenerationReport:
        if image is not None and image.is_readable(self.clock.now()):
            return GenerationReport(generation, await self.links.link(image))
        if generation.status is not GenerationStatus.COMPLETED:
            return GenerationReport(generation, None)
        gone = replace(generation, status=GenerationStatus.FAILED, failure=RESULT_GONE, result=None)
        return GenerationReport(gone, None)


@dataclass(frozen=True, slots=True)
class AwaitGeneration:
    """Look at a generation until it has ended, for those who would rather wait than ask; one for a server process."""

    EVERY_SECONDS: ClassVar = 0.5
    WAITING_PER_ACCOUNT: ClassVar = 8
    """At once: each holds a connection, and looks at its generation twice a second. One more is answered at once."""

    read_generation: ReadGeneration
    waiting: Counter[AccountId] = field(default_factory=Counter)

    async def execute(
        self,
        generation_id: GenerationId,
        account_id: AccountId,
        seconds: float,
        has_left: Callable[[], Awaitable[object]],
    ) -> GenerationReport:
        """As it is when it has ended, when the time is up, or as soon as `has_left` returns. Raises: Overloaded."""
        leaving = asyncio.ensure_future(has_left())
        try:
            with self._place(account_id) as may_wait:
                deadline = asyncio.get_running_loop().time() + (seconds if may_wait else 0)
                while True:
                    report = await self.read_generation.execute(generation_id, account_id)
                    is_late = asyncio.get_running_loop().time() >= deadline
                    if report.generation.has_ended or leaving.done() or is_late:
                        return report
                    await asyncio.wait((leaving,), timeout=self.EVERY_SECONDS)
        finally:
            leaving.cancel()

    @contextmanager
    def _place(self, account_id: AccountId) -> Iterator[bool]:
        """Yields: whether one more may wait."""
        if self.waiting[account_id] >= self.WAITING_PER_ACCOUNT:
            yield False
            return
        self.waiting[account_id] += 1
        try:
            yield True
        finally:
            self.waiting[account_id] -= 1
            if not self.waiting[account_id]:
                del self.waiting[account_id]


@dataclass(frozen=True, slots=True)
class GenerationOutcome:
    """What came of one attempt, for the log. `status` is PENDING when there will be another one.

    `waited`: from the request to this attempt.
    """

    generation_id: GenerationId
    status: GenerationStatus
    attempts: int
    code: str | None
    waited: timedelta = timedelta()


@dataclass(frozen=True, slots=True)
class RunNextGeneration:
    """Work off the queue, one at a time; any number of workers may do so at once.

    `engine_time` is all that one attempt may take of the engine's time.
    """

    engine: TryOnEngine
    open_image: OpenImage
    keep_picture: KeepPicture
    work: UnitOfWork
    clock: Clock
    random: RandomSource
    engine_time: timedelta

    async def execute(self) -> GenerationOutcome | None:
        """Returns: None when there was nothing to do.

        Raises: Overloaded: the database or storage is down; the lease will end and the work be taken over. Whatever a
        bug raises, after the generation was failed.
        """
        generation = await self._claim()
        if generation is None:
            return None
        heart = asyncio.create_task(self._beat(generation))
        try:
            waited = self.clock.now() - generation.created_at
            return replace(await self._run(generation), waited=waited)
        except asyncio.CancelledError:
            await asyncio.shield(self._put_back(generation))
            raise
        finally:
            heart.cancel()

    async def _beat(self, generation: Generation) -> None:
        """Renew the lease until it is lost; in an outage, try again with the next beat."""
        is_held = True
        while is_held:
            await asyncio.sleep(Generation.HEARTBEAT.total_seconds())
            with suppress(Overloaded):
                async with self.work.begin() as repositories:
                    is_held = await repositories.generations.renew(generation, self.clock.now() + Generation.LEASE)

    async def _claim(self) -> Generation | None:
        now = self.clock.now()
        lease_ends_at = now + Generation.LEASE
        async with self.work.begin() as repositories:
            return await repositories.generations.claim(self.random.lease_id(), self.engine.name, now, lease_ends_at)

    async def _run(self, generation: Generation) -> GenerationOutcome:
        inputs = generation.inputs
        try:
            if inputs is None:
                raise ImageNotFound
            if generation.attempts > Generation.MAX_ATTEMPTS:
                raise GenerationFailed  # every worker that took it on has died
            if self.clock.now() >= generation.created_at + Generation.DEADLINE:
                return await self._fail(generation, EngineUnavailable())
            picture = await self._render(generation, inputs)
            await self._keep(generation, inputs, picture)
        except (EngineUnavailable, Overloaded) as error:
            return await self._try_again(generation, error)
        except DomainError as error:
            return await self._fail(generation, error)
        except Exception:
            await self._fail(generation, GenerationFailed())
            raise
        return GenerationOutcome(generation.generation_id, GenerationStatus.COMPLETED, generation.attempts, None)

    async def _render(self, generation: Generation, inputs: Inputs) -> TryOnPicture:
        """The engine gets one picture of the garment; if it refuses that one, it gets the next one."""
        if inputs.is_mock:
            return await self._unchanged(inputs.person, generation)
        person = await self.open_image.execute(inputs.person, generation.account_id)
        refusal: DomainError = ImageNotFound()
        try:
            async with asyncio.timeout(self.engine_time.total_seconds()):
                for image_id in inputs.garments:
                    garment = await self.open_image.if_there(image_id, generation.account_id)
                    if garment is None:
                        continue
                    try:
                        return await self.engine.render(person, garment)
                    except EngineRefused as error:
                        refusal = error
        except TimeoutError:
            raise EngineUnavailable from None
        raise refusal

    async def _unchanged(self, person: ImageId, generation: Generation) -> TryOnPicture:
        image = await self.open_image.resolve.execute(person, generation.account_id)
        if image.photo is None:
            raise ImageNotFound
        return TryOnPicture(await self.open_image.execute(person, generation.account_id), image.photo.size)

    async def _keep(self, generation: Generation, inputs: Inputs, picture: TryOnPicture) -> None:
        """Raises: ImageNotFound: the person's image is gone, or the lease is; CustomerErased; Overloaded."""
        image = UploadedImage(
            image_id=self.random.image_id(),
            account_id=generation.account_id,
            customer=inputs.customer,
            retention=inputs.retention,
            created_at=self.clock.now().replace(microsecond=0),
        )
        photo = StoredPhoto(
            size=picture.size,
            size_bytes=len(picture.jpeg),
            source_format=SourceFormat.JPEG,
            source_size=picture.size,
        )

        async def expect_wanted(repositories: Repositories) -> None:
            person = await repositories.images.hold(inputs.person, generation.account_id)
            is_there = person is not None and person.is_readable(self.clock.now())
            if not (is_there and await repositories.generations.is_held(generation)):
                raise ImageNotFound

        async def complete(repositories: Repositories) -> None:
            await expect_wanted(repositories)
            await repositories.generations.complete(generation, image.image_id, self.clock.now())

        await self.keep_picture.reserve(image, expect_wanted)
        await self.keep_picture.execute(image, photo, picture.jpeg, complete)

    async def _try_again(self, generation: Generation, error: DomainError) -> GenerationOutcome:
        now = self.clock.now()
        if generation.is_spent(now):
            return await self._fail(generation, error)
        async with self.work.begin() as repositories:
            await repositories.generations.try_again(generation, now, now + generation.pause())
        return GenerationOutcome(generation.generation_id, GenerationStatus.PENDING, generation.attempts, error.code)

    async def _fail(self, generation: Generation, error: DomainError) -> GenerationOutcome:
        final = EngineUnavailable() if isinstance(error, Overloaded) else error
        async with self.work.begin() as repositories:
            await repositories.generations.fail(generation, Failure(final.code, str(final)), self.clock.now())
        return GenerationOutcome(generation.generation_id, GenerationStatus.FAILED, generation.attempts, final.code)

    async def _put_back(self, generation: Generation) -> None:
        """This worker is told to stop: the next one need not wait for the lease to end, which ends it in an outage."""
        unattempted, now = replace(generation, attempts=generation.attempts - 1), self.clock.now()
        with suppress(Overloaded):
            async with self.work.begin() as repositories:
                await repositories.generations.try_again(unattempted, now, now)
