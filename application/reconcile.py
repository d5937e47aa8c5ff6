"""Compare bucket and database both ways: for the disasters that are not supposed to happen."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from application.delete_images import TAKE_OVER_AFTER, FinishDeletion
from application.ports.objects import ObjectStore
from application.ports.rows import UnitOfWork
from application.ports.system import Clock
from domain.account import RetentionPolicy
from domain.errors import ReconcileRefused
from domain.image import ImageId, image_id_in, object_name

PAGE: Final = 500
Row = tuple[str, bool]
"""The name of its object, and whether that was stored."""


class Kind(StrEnum):
    """What can be wrong between bucket and database."""

    ORPHAN = "object without a row"
    MISSING = "stored image without an object"
    FOREIGN = "object that is none of ours"


@dataclass(frozen=True, slots=True)
class Difference:
    """One name that only one side knows."""

    kind: Kind
    object_name: str


@dataclass(frozen=True, slots=True)
class Comparison:
    """How far a comparison has come. `last`: the name to go on after; `repaired`: 0 when nothing is to be repaired."""

    compared: int = 0
    orphans: int = 0
    missing: int = 0
    foreign: int = 0
    repaired: int = 0
    last: str = ""
    found: tuple[Difference, ...] = ()
    """What the last step found."""

    @property
    def left(self) -> int:
        """Differences that are still there; foreign objects are not ours to touch."""
        return self.orphans + self.missing - self.repaired


@dataclass(frozen=True, slots=True)
class Reconcile:
    """A merge of two ordered streams, in constant memory, while the service runs.

    What looks wrong is looked at once more before anything is done about it. Objects need no minimum age: a row is
    committed before its object is put and is removed after the object is, so an object without a row at the second
    look has lost it for good; a stored row's object was put before, so it is gone if it is not there then.
    """

    work: UnitOfWork
    objects: ObjectStore
    finish: FinishDeletion
    clock: Clock

    async def total(self) -> int:
        """How many images the database knows: what a comparison will go through, if all is well. Raises: Overloaded."""
        async with self.work.read() as repositories:
            return await repositories.images.count()

    async def execute(self, *, repair: bool, after: str = "") -> AsyncIterator[Comparison]:
        """Yields: the state of the comparison after every few hundred images, and at the end.

        Raises: ReconcileRefused: one side is so empty that it cannot be the right one; Overloaded: go on after `last`.
        """
        if repair:
            await self._refuse_what_looks_like_the_wrong_side()
        done, suspects = Comparison(last=after), list[Difference]()
        async for name, difference in _merged(self.objects.names(after), self._rows(after)):
            suspects += [difference] if difference else []
            done = replace(done, compared=done.compared + 1, last=name)
            if done.compared % PAGE == 0:
                done = await self._settle(done, suspects, repair)
                suspects.clear()
                yield done
        yield await self._settle(done, suspects, repair)

    async def _settle(self, done: Comparison, suspects: list[Difference], repair: bool) -> Comparison:
        named = {kind: [each.object_name for each in suspects if each.kind is kind] for kind in Kind}
        orphans = await self._without_row(named[Kind.ORPHAN])
        missing = [name for name in named[Kind.MISSING] if await self.objects.get(name) is None]
        repaired = 0
        if repair:
            repaired = len(orphans) - len(await self.objects.delete(orphans)) + await self._end(missing)
        found = {Kind.ORPHAN: orphans, Kind.MISSING: missing, Kind.FOREIGN: named[Kind.FOREIGN]}
        return replace(
            done,
            orphans=done.orphans + len(orphans),
            missing=done.missing + len(missing),
            foreign=done.foreign + len(named[Kind.FOREIGN]),
            repaired=done.repaired + repaired,
            found=tuple(Difference(kind, name) for kind, names in found.items() for name in names),
        )

    async def _without_row(self, names: list[str]) -> list[str]:
        ids = {image_id for name in names if (image_id := image_id_in(name))}
        async with self.work.read() as repositories:
            known = await repositories.images.objects_of(list(ids))
        return [name for name in names if name not in known]

    async def _end(self, names: list[str]) -> int:
        """Returns: how many of them are settled; one that was deleted meanwhile is."""
        ids = [image_id for name in names if (image_id := image_id_in(name))]
        async with self.work.begin() as repositories:
            retry_at = self.clock.now() + TAKE_OVER_AFTER
            marked = await repositories.images.mark_known_deleting(ids, retry_at, only_stored=True)
        return len(ids) - len((await self.finish.execute(marked)).left)

    async def _rows(self, after: str) -> AsyncIterator[Row]:
        folder, _, file = after.partition("/")
        for here, retention in _classes():
            if here < folder:
                continue
            last = ImageId(file.removesuffix(".jpg")) if here == folder else ImageId("")
            while True:
                async with self.work.read() as repositories:
                    page = await repositories.images.known_after(retention, last, PAGE)
                for row in page:
                    yield object_name(row.image_id, retention), row.is_stored
                if len(page) < PAGE:
                    break
                last = page[-1].image_id

    async def _refuse_what_looks_like_the_wrong_side(self) -> None:
        async with self.work.read() as repositories:
            images, accounts = await repositories.images.count(), await repositories.accounts.list()
        if not accounts:
            raise ReconcileRefused("The database has no accounts: is it the right one? Nothing was touched.")
        if images and not await self._has_one_of_ours():
            raise ReconcileRefused("The storage holds none of our images: is it mounted? Nothing was touched.")

    async def _has_one_of_ours(self) -> bool:
        async for name in self.objects.names():
            if image_id_in(name):
                return True
        return False


async def _merged(names: AsyncIterator[str], rows: AsyncIterator[Row]) -> AsyncIterator[tuple[str, Difference | None]]:
    """Yields: each name of either side, in order, and what looks wrong about it."""
    name, row = await anext(names, None), await anext(rows, None)
    while name or row:
        first = min(head for head in (name, row and row[0]) if head)
        is_there, known = name == first, row if row and row[0] == first else None
        if known is None:
            yield first, Difference(Kind.ORPHAN if image_id_in(first) else Kind.FOREIGN, first)
        else:
            yield first, Difference(Kind.MISSING, first) if known[1] and not is_there else None
        name = await anext(names, None) if is_there else name
        row = await anext(rows, None) if known else row


def _classes() -> list[tuple[str, RetentionPolicy]]:
    """Folders and their retention, in the order in which storage lists them: `ttl-30d` comes before `ttl-3d`."""
    policies = map(RetentionPolicy, RetentionPolicy.ALL_DAYS)
    folders = {object_name(ImageId(""), retention).partition("/")[0]: retention for retention in policies}
    return sorted(folders.items())
