"""How far a generation is, and where its result can be seen."""

from dataclasses import dataclass

from application.ports.rows import UnitOfWork
from application.ports.system import Clock
from application.preview_link import LinkedImage, PreviewLinks
from domain.account import AccountId
from domain.errors import GenerationNotFound
from domain.generation import Generation, GenerationId, is_generation_id


@dataclass(frozen=True, slots=True)
class GenerationReport:
    """`result` is there when the generation is completed and its picture has not expired, been deleted or erased."""

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
        is_there = image is not None and image.is_readable(self.clock.now())
        return GenerationReport(generation, await self.links.link(image) if image and is_there else None)
