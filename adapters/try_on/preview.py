"""The embedded preview in worker processes: started when the first try-on comes, so that nobody else pays for it."""

from adapters.sandbox.started_on_demand import StartedOnDemand
from adapters.sandbox.worker_pool import WorkerPool
from adapters.try_on.preview_messages import pack
from application.ports.try_on import TryOnEngine, TryOnPicture
from domain.errors import (
    EngineRefused,
    GarmentNotSeparable,
    GarmentNotSupported,
    InvalidImage,
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

    The pool's workers are made by `entrypoints.wiring.preview_worker` and may refuse with `REFUSALS`.
    """

    name = "preview"

    def __init__(self, pool: WorkerPool) -> None:
        self._pool = pool
        self._workers = StartedOnDemand(pool)

    async def render(self, person_jpeg: bytes, garment_jpeg: bytes) -> TryOnPicture:
        """Raises: a refusal out of `domain.errors`; EngineRefused: it broke or took too long; Overloaded."""
        try:
            prepared = await self._workers.prepare(pack(person_jpeg, garment_jpeg), crop=False)
        except InvalidImage:
            raise EngineRefused from None
        return TryOnPicture(prepared.jpeg, prepared.size)

    async def check(self) -> None:
        """It needs nothing that uploads do not need, too."""

    async def close(self) -> None:
        await self._pool.close()
