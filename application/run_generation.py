"""Work off the queue of generations, one at a time; any number of workers may do so at once."""

import asyncio
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import timedelta

from application.keep_picture import KeepPicture
from application.ports.rows import Repositories, UnitOfWork
from application.ports.system import Clock, RandomSource
from application.ports.try_on import TryOnEngine, TryOnPicture
from application.read_image import OpenImage
from domain.errors import (
    DomainError,
    EngineRefused,
    EngineUnavailable,
    GenerationFailed,
    ImageNotFound,
    Overloaded,
)
from domain.generation import Failure, Generation, GenerationId, GenerationStatus, Inputs
from domain.image import ImageId, StoredPhoto, UploadedImage
from domain.photo import SourceFormat


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
    """`engine_time` is all that one attempt may take of the engine's time."""

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
                    garment = await self._garment(image_id, generation)
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

    async def _garment(self, image_id: ImageId, generation: Generation) -> bytes | None:
        try:
            return await self.open_image.execute(image_id, generation.account_id)
        except ImageNotFound:
            return None

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
            crop=None,
            person=None,
            warnings=(),
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
        with suppress(Overloaded):
            async with self.work.begin() as repositories:
                await repositories.generations.hand_back(generation, self.clock.now())
