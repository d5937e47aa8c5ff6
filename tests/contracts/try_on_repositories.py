"""What every unit of work must do for products and generations, written once."""

import asyncio
from datetime import datetime, timedelta

from application.ports.rows import UnitOfWork
from domain.customer import Customer
from domain.generation import Failure, Generation, GenerationId, GenerationStatus, Inputs, LeaseId
from domain.image import ImageId
from domain.product import Product
from domain.retention import RetentionPolicy
from tests.builders import ACME, NOON, OTHER, a_customer, an_image

LEASE_ENDS = NOON + timedelta(minutes=3)
GONE = Failure("IMAGE_NOT_FOUND", "There is no such image.")


def a_generation(
    generation_id: str = "gen_1", *, customer: Customer | None = None, created_at: datetime = NOON
) -> Generation:
    return Generation(
        generation_id=GenerationId(generation_id),
        account_id=ACME,
        created_at=created_at,
        updated_at=created_at,
        inputs=Inputs(ImageId("img_1"), (ImageId("img_2"), ImageId("img_3")), customer, RetentionPolicy(3)),
    )


def a_product(*images: str, now: datetime = NOON) -> Product:
    return Product.named(ACME, "gid://shopify/Product/1", tuple(map(ImageId, images)), now)


async def given(work: UnitOfWork, *generations: Generation) -> None:
    async with work.begin() as repositories:
        for generation in generations:
            await repositories.generations.add(generation)


async def claim(work: UnitOfWork, lease: str = "lea_1", now: datetime = NOON) -> Generation | None:
    async with work.begin() as repositories:
        return await repositories.generations.claim(LeaseId(lease), "sandbox", now, now + timedelta(minutes=3))


async def claimed(work: UnitOfWork, lease: str = "lea_1", now: datetime = NOON) -> Generation:
    generation = await claim(work, lease, now)
    assert generation is not None
    return generation


async def found(work: UnitOfWork, generation_id: str = "gen_1") -> Generation:
    async with work.read() as repositories:
        generation = await repositories.generations.find(GenerationId(generation_id), ACME)
    assert generation is not None
    return generation


class TryOnRepositoriesContract:
    """The fixture `work` holds the accounts ACME and OTHER and nothing else."""

    async def test_a_product_comes_back_to_its_own_account_only(self, work: UnitOfWork) -> None:
        product = a_product("img_1", "img_2")
        async with work.begin() as repositories:
            await repositories.products.save(product)
        async with work.read() as repositories:
            assert await repositories.products.find(ACME, product.external_id) == product
            assert await repositories.products.find(OTHER, product.external_id) is None
            assert await repositories.products.find(ACME, "unknown") is None

    async def test_saving_a_product_again_replaces_it(self, work: UnitOfWork) -> None:
        later = a_product("img_9", now=NOON + timedelta(days=1))
        async with work.begin() as repositories:
            await repositories.products.save(a_product("img_1"))
            await repositories.products.save(later)
        async with work.read() as repositories:
            assert await repositories.products.find(ACME, later.external_id) == later

    async def test_products_are_forgotten_when_they_are_over(self, work: UnitOfWork) -> None:
        product = a_product("img_1")
        async with work.begin() as repositories:
            await repositories.products.save(product)
            assert await repositories.products.sweep(product.expires_at - timedelta(seconds=1)) == 0
            assert await repositories.products.sweep(product.expires_at) == 1
            assert await repositories.products.find(ACME, product.external_id) is None

    async def test_a_generation_comes_back_as_it_was(self, work: UnitOfWork) -> None:
        generation = a_generation(customer=a_customer())
        await given(work, generation)
        assert await found(work) == generation
        async with work.read() as repositories:
            assert await repositories.generations.find(generation.generation_id, OTHER) is None

    async def test_the_one_that_waited_longest_is_claimed_first_and_only_once(self, work: UnitOfWork) -> None:
        await given(work, a_generation("gen_late", created_at=NOON), a_generation("gen_early", created_at=NOON))
        early = NOON - timedelta(seconds=5)
        await given(work, a_generation("gen_first", created_at=early))
        first = await claimed(work, "lea_1")
        assert (first.generation_id, first.status, first.attempts) == ("gen_first", GenerationStatus.PROCESSING, 1)
        assert (first.lease, first.engine, first.updated_at) == ("lea_1", "sandbox", NOON)
        assert {(await claimed(work, "lea_2")).generation_id, (await claimed(work, "lea_3")).generation_id} == {
            "gen_late",
            "gen_early",
        }
        assert await claim(work, "lea_4") is None

    async def test_many_claims_at_once_never_get_the_same(self, work: UnitOfWork) -> None:
        await given(work, *(a_generation(f"gen_{number}") for number in range(8)))
        claims = await asyncio.gather(*(claim(work, f"lea_{number}") for number in range(12)))
        ids = [generation.generation_id for generation in claims if generation]
        assert sorted(ids) == [f"gen_{number}" for number in range(8)]

    async def test_a_lease_that_has_ended_is_taken_over_and_its_holder_is_powerless(self, work: UnitOfWork) -> None:
        await given(work, a_generation())
        dead = await claimed(work, "lea_1")
        assert await claim(work, "lea_2", LEASE_ENDS - timedelta(seconds=1)) is None
        alive = await claimed(work, "lea_2", LEASE_ENDS)
        assert alive.attempts == 2
        async with work.begin() as repositories:
            assert not await repositories.generations.is_held(dead)
            assert not await repositories.generations.complete(dead, ImageId("img_dead"), LEASE_ENDS)
            assert not await repositories.generations.fail(dead, GONE, LEASE_ENDS)
            assert not await repositories.generations.try_again(dead, LEASE_ENDS, LEASE_ENDS)
            assert await repositories.generations.is_held(alive)
            assert await repositories.generations.complete(alive, ImageId("img_alive"), LEASE_ENDS)
        assert (await found(work)).result == "img_alive"

    async def test_a_generation_to_be_tried_again_waits_until_it_is_due(self, work: UnitOfWork) -> None:
        await given(work, a_generation())
        first = await claimed(work)
        due_at = NOON + timedelta(seconds=4)
        async with work.begin() as repositories:
            assert await repositories.generations.try_again(first, NOON, due_at)
        assert (await found(work)).status is GenerationStatus.PENDING
        assert await claim(work, "lea_2", due_at - timedelta(seconds=1)) is None
        assert (await claimed(work, "lea_2", due_at)).inputs == first.inputs

    async def test_an_ended_generation_forgets_whose_it_was(self, work: UnitOfWork) -> None:
        await given(work, a_generation("gen_1", customer=a_customer()), a_generation("gen_2", customer=a_customer()))
        one, two = await claimed(work, "lea_1"), await claimed(work, "lea_2")
        async with work.begin() as repositories:
            await repositories.generations.complete(one, ImageId("img_result"), NOON)
            await repositories.generations.fail(two, GONE, NOON)
        completed, failed = await found(work, one.generation_id), await found(work, two.generation_id)
        assert (completed.status, completed.result) == (GenerationStatus.COMPLETED, "img_result")
        assert (failed.status, failed.failure) == (GenerationStatus.FAILED, GONE)
        assert (completed.inputs, completed.lease, failed.inputs, failed.lease) == (None, None, None, None)
        async with work.begin() as repositories:
            assert await repositories.generations.fail_customer(a_customer(), GONE, NOON) == 0

    async def test_all_that_waits_or_runs_for_a_customer_fails(self, work: UnitOfWork) -> None:
        other = a_customer("someone else")
        await given(work, a_generation("gen_1", customer=a_customer()), a_generation("gen_2", customer=a_customer()))
        running = await claimed(work)
        await given(work, a_generation("gen_3", customer=other), a_generation("gen_4"))
        async with work.begin() as repositories:
            assert await repositories.generations.fail_customer(a_customer(), GONE, NOON) == 2
            assert not await repositories.generations.is_held(running)
        statuses = [(await found(work, f"gen_{number}")).status for number in (1, 2, 3, 4)]
        assert statuses == ["FAILED", "FAILED", "PENDING", "PENDING"]

    async def test_ended_generations_are_forgotten_after_a_month_and_waiting_ones_never(self, work: UnitOfWork) -> None:
        await given(work, a_generation("gen_1"))
        async with work.begin() as repositories:
            generation = await repositories.generations.claim(LeaseId("lea_1"), "sandbox", NOON, LEASE_ENDS)
            assert generation is not None
            await repositories.generations.complete(generation, ImageId("img_1"), NOON)
        await given(work, a_generation("gen_2"))
        async with work.begin() as repositories:
            over = NOON + Generation.KEPT_FOR
            assert await repositories.generations.sweep(over - timedelta(seconds=1)) == 0
            assert await repositories.generations.sweep(over) == 1
        assert (await found(work, "gen_2")).status is GenerationStatus.PENDING

    async def test_an_image_that_is_held_is_the_one_that_is_found(self, work: UnitOfWork) -> None:
        async with work.begin() as repositories:
            await repositories.images.reserve(an_image())
            held = await repositories.images.hold(ImageId("img_1"), ACME)
            assert held == await repositories.images.find(ImageId("img_1"), ACME) == an_image()
            assert await repositories.images.hold(ImageId("img_1"), OTHER) is None
