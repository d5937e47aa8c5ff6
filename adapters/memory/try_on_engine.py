"""A try-on engine that makes nothing up: its picture of a person in a garment is the person as they are."""

from collections.abc import Awaitable, Callable

from adapters.imaging.jpeg.headers import scan_jpeg
from application.ports.try_on import TryOnEngine, TryOnPicture

Interruption = Callable[[], Awaitable[None]]


class InMemoryTryOnEngine(TryOnEngine):
    """`interruptions` happen one by one while pictures are being made: something goes wrong, or time passes."""

    name = "in-memory"

    def __init__(self, *interruptions: Interruption) -> None:
        self.interruptions = list(interruptions)
        self.garments: list[bytes] = []

    async def render(self, person_jpeg: bytes, garment_jpeg: bytes) -> TryOnPicture:
        self.garments.append(garment_jpeg)
        if self.interruptions:
            await self.interruptions.pop(0)()
        return TryOnPicture(person_jpeg, scan_jpeg(person_jpeg).stored_size)

    async def check(self) -> None:
        """Always there."""

    async def close(self) -> None:
        """Nothing to end."""
