"""The embedded preview in worker processes: started when the first try-on comes, so that nobody else pays for it."""

from adapters.engines.preview_messages import pack
from adapters.workers.started_on_demand import StartedOnDemand
from adapters.workers.worker_pool import WorkerPool
from application.try_on_ports import TryOnEngine, TryOnPicture
from domain.errors import InvalidImage
from domain.generation_errors import EngineRefused
from domain.try_on_errors import (
    GarmentNotSeparable,
    GarmentNotSupported,
    PersonNotFacing,
    PersonNotFound,
    TorsoNotVisible,
)

REFUSALS = {
    refusal.code: refusal
    for refusal in (PersonNotFound, PersonNotFacing, TorsoNotVisible, GarmentNotSeparable, GarmentNotSupported)
}
"""What a preview worker may answer instead of a picture."""


class PreviewTryOnEngine(TryOnEngine):
    """Lays the garment over the person's photo, in two dimensions, without any network.

    The pool's workers are made by `entrypoints.preview_worker` and may refuse with `REFUSALS`.
    """

    name = "preview"

    def __init__(self, pool: WorkerPool) -> None:
        self._pool = pool
        self._workers = StartedOnDemand(pool)

    async def render(self, person_jpeg: bytes, garment_jpeg: bytes) -> TryOnPicture:
        """Raises: a refusal out of `domain.try_on_errors`; EngineRefused: it broke or took too long; Overloaded."""
        try:
            prepared = await self._workers.prepare(pack(person_jpeg, garment_jpeg), crop=False)
        except InvalidImage:
            raise EngineRefused from None
        return TryOnPicture(prepared.jpeg, prepared.size)

    async def check(self) -> None:
        """It needs nothing that uploads do not need, too."""

    async def close(self) -> None:
        await self._pool.close()
