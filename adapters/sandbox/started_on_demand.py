"""A pool that is started by whoever needs it first, so that nobody pays for workers that have nothing to do."""

import asyncio

from adapters.sandbox.worker_pool import WorkerPool
from application.ports.photos import PhotoProcessor, PreparedPhoto


class StartedOnDemand(PhotoProcessor):
    """The pool may also be started by others; it is they who close it."""

    def __init__(self, pool: WorkerPool) -> None:
        self._pool = pool
        self._starting = asyncio.Lock()

    async def prepare(self, photo: bytes | bytearray | memoryview, *, crop: bool) -> PreparedPhoto:
        """Raises: as the pool; WorkerStartFailed, with the reason."""
        async with self._starting:
            if not self._pool.is_open:
                await self._pool.start()
        return await self._pool.prepare(photo, crop=crop)
