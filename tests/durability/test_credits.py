"""Credits: whatever goes wrong, wherever, none is lost and none is made."""

import pytest

from application.read_image import FileSource
from domain.errors import DomainError
from domain.generation import GenerationStatus
from tests.builders import ACME
from tests.durability.conftest import world_in_memory
from tests.durability.faults import Fault, Plan, ProcessDied
from tests.durability.world import World

FAULTS = [Fault.FAILS_BEFORE, Fault.FAILS_AFTER, Fault.DOWN_FROM_HERE, Fault.CRASHES_BEFORE, Fault.CRASHES_AFTER]
GIVEN = 3


async def credits_and_unfailed(world: World) -> int:
    """What is left, and what was taken for try-ons that have not failed."""
    async with world.work.read() as repositories:
        account = await repositories.accounts.find(ACME)
        generations = await repositories.generations.page(ACME, None, 9)
    assert account is not None
    assert account.credits is not None
    return account.credits + sum(each.status is not GenerationStatus.FAILED for each in generations)


async def given_credits(world: World) -> None:
    async with world.work.begin() as repositories:
        await repositories.accounts.set_credits(ACME, GIVEN)


@pytest.mark.parametrize("fault", FAULTS)
async def test_starting_a_try_on(fault: Fault) -> None:
    for at in range(1, 60):
        async with world_in_memory() as world:
            person = (await world.upload(b"person")).image.image_id
            await given_credits(world)
            plan = Plan(fault, at)
            try:
                await world.try_on(person, (FileSource(b"garment", "g"),), plan)
            except (DomainError, ProcessDied):
                assert plan.happened
            assert await credits_and_unfailed(world) == GIVEN
            if not plan.happened:
                return
    pytest.fail("there was no end to the calls that may fail")


@pytest.mark.parametrize("fault", FAULTS)
async def test_a_generation_that_fails(fault: Fault) -> None:
    for at in range(1, 60):
        async with world_in_memory() as world:
            person = (await world.upload(b"person")).image.image_id
            await given_credits(world)
            await world.try_on(person, (FileSource(b"garment", "g"),))
            await world.delete(person)
            plan = Plan(fault, at)
            try:
                await world.work_off(plan)
            except (DomainError, ProcessDied):
                assert plan.happened
            assert await credits_and_unfailed(world) == GIVEN
            if not plan.happened:
                return
    pytest.fail("there was no end to the calls that may fail")
