"""The state of generations, with links to their results."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import ClassVar, Final

from application.ports.rows import UnitOfWork
from application.ports.system import Clock
from application.read_image import LinkedImage, PreviewLinks
from domain.account import AccountId
from domain.errors import GenerationNotFound
from domain.generation import Failure, Generation, GenerationId, GenerationStatus, is_generation_id
from domain.image import UploadedImage

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
        if not is_generation_id(generation_id):
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
