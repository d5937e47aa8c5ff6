"""An account that is deleted: what it sent goes, in every form it was kept in."""

from application.delete_images import FinishDeletion
from application.manage_accounts import DeleteAccount
from application.read_image import FileSource
from domain.errors import Overloaded
from tests.builders import ACME, NOON
from tests.durability.conftest import MakeWorld
from tests.durability.faults import Fault, FaultyUnitOfWork, Plan
from tests.durability.world import World

GARMENT = FileSource(b"garment", "g")


def deleting(world: World, plan: Plan) -> DeleteAccount:
    work = FaultyUnitOfWork(world.work, plan)
    return DeleteAccount(work, FinishDeletion(world.objects, work, world.clock), world.clock)  # type: ignore[arg-type]


async def test_its_products_with_their_pictures_and_its_idempotency_keys_go_whatever_fails_before(
    make_world: MakeWorld,
) -> None:
    at = 0
    while True:
        at += 1
        async with make_world() as world:
            account = await world.account()
            await world.try_on(FileSource(b"person", "p"), (GARMENT,), key="k1")
            await world.try_on(FileSource(b"person", "p"), (GARMENT,), product_id=None, key="k2")
            plan = Plan(Fault.FAILS_BEFORE, at)
            try:
                deleted = await deleting(world, plan).execute(account.name)
            except Overloaded:
                await deleting(world, Plan()).execute(account.name)
            await world.recover()
            assert await world.assert_nothing_is_left_behind() == set()
            async with world.work.begin() as repositories:
                assert await repositories.products.count(ACME) == 0
                assert await repositories.requests.sweep(NOON.replace(year=NOON.year + 1)) == 0
            if not plan.happened:
                break
    assert at > 5
    assert (deleted.images, deleted.products, deleted.bytes_left) == (4, 2, 0)
