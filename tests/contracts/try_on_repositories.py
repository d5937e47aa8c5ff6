"""The contract of every unit of work for products and generations, written once."""

import asyncio
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from application.ports.rows import Credits, KeptRequest, UnitOfWork
from domain.account import RetentionPolicy
from domain.customer import Customer, IdempotencyRecord, Pseudonyms
from domain.errors import InsufficientCredits
from domain.generation import Failure, Generation, GenerationId, GenerationStatus, Inputs, LeaseId
from domain.image import ImageId
from domain.product import Product, ProductPicture
from tests.builders import ACME, NOON, OTHER, a_customer, a_stored_photo, an_account, an_image

LEASE = timedelta(minutes=5)
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
    product = Product.tried_on(ACME, "gid://shopify/Product/1", now)
    return replace(product, pictures=tuple(map(a_picture, images)), title="Shirt")


def a_picture(image_id: str) -> ProductPicture:
    return ProductPicture(
        image_id=ImageId(image_id),
        source=f"https://shop.test/{image_id}",
        kept_until=NOON + timedelta(days=30),
        checked_at=NOON,
        etag='"v1"',
    )


def a_paid_generation(generation_id: str, customer: Customer) -> Generation:
    return replace(a_generation(generation_id, customer=customer), has_credit=True)


def a_request(*, key: bytes = b"key", fingerprint: bytes = b"1", customer: Customer | None = None) -> KeptRequest:
    return KeptRequest(
        account_id=ACME, record=IdempotencyRecord(key, fingerprint), customer=customer, due_at=NOON + LEASE
    )


async def credits_of(work: UnitOfWork) -> int | None:
    async with work.read() as repositories:
        account = await repositories.accounts.find(ACME)
    assert account is not None
    return account.credits


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
            assert await repositories.products.add(product)
            assert await repositories.products.hold(ACME, product.external_id) == product
        async with work.read() as repositories:
            assert await repositories.products.find(ACME, product.external_id) == product
            assert await repositories.products.find(OTHER, product.external_id) is None
            assert await repositories.products.find(ACME, "unknown") is None

    async def test_the_first_product_with_an_id_stays_until_it_is_replaced(self, work: UnitOfWork) -> None:
        later = a_product("img_9", now=NOON + timedelta(days=1))
        async with work.begin() as repositories:
            assert await repositories.products.add(a_product("img_1"))
            assert not await repositories.products.add(later)
            assert await repositories.products.find(ACME, later.external_id) == a_product("img_1")
            await repositories.products.replace(later)
        async with work.read() as repositories:
            assert await repositories.products.find(ACME, later.external_id) == later

    async def test_touching_a_product_changes_its_end_and_nothing_else(self, work: UnitOfWork) -> None:
        product, later = a_product("img_1"), NOON + timedelta(days=2)
        registered = replace(product.registered(None, NOON), external_id="registered")
        async with work.begin() as repositories:
            await repositories.products.add(product)
            await repositories.products.add(registered)
            assert await repositories.products.touch(replace(a_product("img_9").used(later), title="Coat"))
            assert await repositories.products.find(ACME, product.external_id) == product.used(later)
            assert not await repositories.products.touch(replace(product, external_id="registered").used(later))
            assert await repositories.products.find(ACME, "registered") == registered
            assert await repositories.products.touch(registered.used(later))
            assert not await repositories.products.touch(replace(product, external_id="unknown"))

    async def test_products_are_forgotten_when_they_are_over(self, work: UnitOfWork) -> None:
        product = a_product("img_1", "img_2")
        forever = replace(product.registered(None, NOON), external_id="forever")
        end = NOON + Product.IDLE_LIFETIME
        async with work.begin() as repositories:
            await repositories.products.add(product)
            await repositories.products.add(forever)
            assert await repositories.products.sweep(end - timedelta(seconds=1)) == ()
            assert await repositories.products.sweep(end) == product.images
            assert await repositories.products.find(ACME, product.external_id) is None
            assert await repositories.products.find(ACME, "forever") == forever

    async def test_a_product_that_is_removed_names_its_images(self, work: UnitOfWork) -> None:
        product = a_product("img_1", "img_2")
        async with work.begin() as repositories:
            await repositories.products.add(product)
            assert await repositories.products.remove(OTHER, product.external_id) == ()
            assert await repositories.products.remove(ACME, product.external_id) == product.images
            assert await repositories.products.remove(ACME, product.external_id) == ()

    async def test_pages_of_products_go_on_where_the_last_one_ended(self, work: UnitOfWork) -> None:
        async with work.begin() as repositories:
            for name in ("c", "a", "d", "b"):
                await repositories.products.add(replace(a_product("img_1"), external_id=name))
            await repositories.products.add(replace(a_product("img_1"), external_id="over", expires_at=NOON))
            first = await repositories.products.page(ACME, "", 3, NOON)
            rest = await repositories.products.page(ACME, "c", 3, NOON)
            assert await repositories.products.page(OTHER, "", 3, NOON) == ()
        assert [product.external_id for product in first + rest] == ["a", "b", "c", "d"]

    async def test_a_product_whose_pictures_grow_old_is_claimed_once_a_day(self, work: UnitOfWork) -> None:
        product, tomorrow = a_product("img_1"), NOON + timedelta(days=16)
        due, again = NOON + timedelta(days=15), tomorrow
        async with work.begin() as repositories:
            await repositories.products.add(product)
            assert await repositories.products.claim_renewals(due - timedelta(seconds=1), again, 9) == ()
            assert await repositories.products.claim_renewals(due, again, 9) == (product,)
            assert await repositories.products.claim_renewals(due, again, 9) == ()
            assert await repositories.products.claim_renewals(again, again, 9) == (product,)

    async def test_pictures_of_products_are_released_and_counted_apart(self, work: UnitOfWork) -> None:
        picture, photo = an_image("img_1", keep_for_days=30), an_image("img_2")
        soon = NOON + timedelta(minutes=20)
        async with work.begin() as repositories:
            for image in (picture, photo):
                await repositories.images.reserve(image)
                await repositories.images.publish(image, a_stored_photo())
            assert await repositories.images.count_live(ACME) == 1
            await repositories.images.release([picture.image_id, photo.image_id], soon)
            assert (await repositories.images.mark_due_deleting(NOON, soon, 9)).images == ()
            due = await repositories.images.mark_due_deleting(soon, soon + timedelta(minutes=1), 9)
        assert [image.image_id for image in due.images] == [picture.image_id]

    async def test_an_image_without_a_customer_is_adopted_once(self, work: UnitOfWork) -> None:
        async with work.begin() as repositories:
            await repositories.images.reserve(an_image("img_1"))
            await repositories.images.publish(an_image("img_1"), a_stored_photo())
            assert not await repositories.images.adopt(ImageId("img_1"), a_customer("ann", OTHER))
            assert await repositories.images.adopt(ImageId("img_1"), a_customer("ann"))
            assert not await repositories.images.adopt(ImageId("img_1"), a_customer("bob"))
            found = await repositories.images.find(ImageId("img_1"), ACME)
        assert found is not None
        assert found.customer == a_customer("ann")

    # Credits

    async def test_credits_are_taken_until_none_are_left(self, work: UnitOfWork) -> None:
        async with work.begin() as repositories:
            assert not await repositories.accounts.take_credit(ACME)  # no limit
            await repositories.accounts.set_credits(ACME, 2)
            assert await repositories.accounts.take_credit(ACME)
            assert await repositories.accounts.take_credit(ACME)
            with pytest.raises(InsufficientCredits):
                await repositories.accounts.take_credit(ACME)
            assert not await repositories.accounts.take_credit(OTHER)

    async def test_credits_are_summed_over_active_accounts_with_a_limit(self, work: UnitOfWork) -> None:
        async with work.begin() as repositories:
            assert await repositories.accounts.credits_in_all() == Credits()
            await repositories.accounts.set_credits(ACME, 5)
            await repositories.accounts.set_credits(OTHER, 0)
            assert await repositories.accounts.credits_in_all() == Credits(left=5, spent=1)
            await repositories.accounts.save(replace(an_account(OTHER), is_active=False))
            assert await repositories.accounts.credits_in_all() == Credits(left=5, spent=0)

    async def test_a_generation_that_fails_gives_its_credit_back_once(self, work: UnitOfWork) -> None:
        customer = a_customer()
        async with work.begin() as repositories:
            await repositories.accounts.set_credits(ACME, 0)
        await given(work, *(a_paid_generation(name, customer) for name in ("gen_1", "gen_2", "gen_3")))
        await given(work, a_generation("gen_4", customer=customer))  # from a time without a limit
        failing, completing = await claimed(work, "lea_1"), await claimed(work, "lea_2")
        async with work.begin() as repositories:
            assert await repositories.generations.fail(failing, GONE, NOON)
            assert not await repositories.generations.fail(failing, GONE, NOON)
            assert await repositories.generations.complete(completing, ImageId("img_9"), NOON)
        assert await credits_of(work) == 1
        async with work.begin() as repositories:
            assert await repositories.generations.fail_customer(customer, GONE, NOON) == 2
        assert await credits_of(work) == 2

    async def test_generations_of_a_customer_are_the_open_ones_and_those_of_known_results(
        self, work: UnitOfWork
    ) -> None:
        theirs = [a_generation(f"gen_{number}", customer=a_customer()) for number in (1, 2)]
        later = a_generation("gen_3", customer=a_customer("somebody else"), created_at=NOON + LEASE)
        await given(work, *theirs, later)
        async with work.begin() as repositories:
            ended = await repositories.generations.claim(LeaseId("lea_1"), "sandbox", NOON, LEASE_ENDS)
            assert ended is not None
            assert await repositories.generations.complete(ended, ImageId("img_9"), NOON)
            open_ones = await repositories.generations.of_customer(a_customer(), [])
            everything = await repositories.generations.of_customer(
                a_customer(), [ImageId(f"img_{number:04}") for number in range(1, 1200)] + [ImageId("img_9")]
            )
        assert {each.generation_id for each in open_ones} == {"gen_1", "gen_2"} - {ended.generation_id}
        assert [each.generation_id for each in everything] == ["gen_1", "gen_2"]

    async def test_an_account_whose_limit_was_lifted_gets_nothing_back(self, work: UnitOfWork) -> None:
        await given(work, a_paid_generation("gen_1", a_customer()))
        failing = await claimed(work)
        async with work.begin() as repositories:
            await repositories.generations.fail(failing, GONE, NOON)
        assert await credits_of(work) is None

    async def test_changing_an_account_leaves_its_credits_alone(self, work: UnitOfWork) -> None:
        async with work.begin() as repositories:
            await repositories.accounts.set_credits(ACME, 5)
            await repositories.accounts.save(replace(an_account(ACME), credits=9, is_active=False))
        assert await credits_of(work) == 5

    async def test_generations_are_listed_newest_first(self, work: UnitOfWork) -> None:
        later = NOON + timedelta(seconds=1)
        await given(work, a_generation("gen_2"), a_generation("gen_1"), a_generation("gen_3", created_at=later))
        async with work.read() as repositories:
            first = await repositories.generations.page(ACME, None, 2)
            rest = await repositories.generations.page(ACME, first[-1], 2)
            assert await repositories.generations.page(OTHER, None, 2) == ()
        assert [each.generation_id for each in first + rest] == ["gen_3", "gen_2", "gen_1"]

    # Requests with an idempotency key

    async def test_a_key_is_taken_until_its_request_ends_or_is_taken_for_dead(self, work: UnitOfWork) -> None:
        request, later = a_request(), NOON + timedelta(minutes=5)
        async with work.begin() as repositories:
            assert await repositories.requests.add(request, NOON) is None
            assert await repositories.requests.add(a_request(fingerprint=b"2"), NOON) == request
            assert await repositories.requests.is_kept(ACME, a_request(key=b"key").record, NOON)
            assert not await repositories.requests.is_kept(ACME, a_request(key=b"key").record, NOON + LEASE)
            assert not await repositories.requests.is_kept(ACME, a_request(key=b"none").record, NOON)
            assert not await repositories.requests.is_kept(OTHER, a_request(key=b"key").record, NOON)
            assert await repositories.requests.add(a_request(key=b"other"), NOON) is None
            await repositories.requests.remove(request)
            assert await repositories.requests.add(request, NOON) is None
            assert await repositories.requests.add(replace(request, due_at=later + LEASE), later) is None
            await repositories.requests.finish(request, "of a request that was taken for dead", NOON)
            assert await repositories.requests.add(request, NOON) == replace(request, due_at=later + LEASE)

    async def test_what_came_of_a_request_is_kept_until_its_key_is_free_again(self, work: UnitOfWork) -> None:
        request, end = a_request(), NOON + timedelta(hours=24)
        async with work.begin() as repositories:
            await repositories.requests.add(request, NOON)
            await repositories.requests.finish(request, "gen_1", end)
            await repositories.requests.remove(request)
            assert await repositories.requests.add(request, NOON) == replace(request, result="gen_1", due_at=end)
            assert await repositories.requests.sweep(end - timedelta(seconds=1)) == 0
            assert await repositories.requests.sweep(end) == 1
            assert await repositories.requests.add(request, NOON) is None

    async def test_an_account_loses_all_its_products_and_requests_and_no_other_does(self, work: UnitOfWork) -> None:
        of_another, answered = replace(a_product("img_9"), account_id=OTHER), a_request(key=b"answered")
        async with work.begin() as repositories:
            for product in (a_product("img_1"), replace(a_product("img_2"), external_id="b"), of_another):
                await repositories.products.add(product)
            for request in (a_request(), answered, replace(a_request(), account_id=OTHER)):
                await repositories.requests.add(request, NOON)
            await repositories.requests.finish(answered, "gen_1", NOON + timedelta(hours=24))
            assert await repositories.products.count(ACME) == 2
            await repositories.products.remove_all(ACME)
            await repositories.requests.remove_all(ACME)
        async with work.begin() as repositories:
            assert await repositories.products.count(ACME) == 0
            assert await repositories.products.find(OTHER, of_another.external_id) == of_another
            assert await repositories.requests.sweep(NOON + timedelta(days=2)) == 1

    async def test_an_erasure_takes_the_requests_of_its_customer(self, work: UnitOfWork) -> None:
        theirs = a_request(key=b"theirs", customer=a_customer())
        async with work.begin() as repositories:
            await repositories.requests.add(theirs, NOON)
            await repositories.requests.add(a_request(), NOON)
            assert await repositories.requests.key_digests_of(a_customer()) == (b"theirs",)
            await repositories.requests.erase(a_customer())
            assert await repositories.requests.key_digests_of(a_customer()) == ()
            assert await repositories.requests.add(theirs, NOON) is None
            assert await repositories.requests.add(a_request(), NOON) == a_request()

    async def test_requests_and_try_ons_under_an_older_key_are_the_customers_too(self, work: UnitOfWork) -> None:
        before, now = (Pseudonyms(ring) for ring in ((b"o" * 32,), (b"n" * 32, b"o" * 32)))
        earlier, again = (
            replace(a_request(customer=ring.customer(ACME, "ann")), record=ring.request(ACME, "key", b"request"))
            for ring in (before, now)
        )
        await given(work, a_generation("gen_1", customer=before.customer(ACME, "ann")))
        async with work.begin() as repositories:
            assert await repositories.requests.add(earlier, NOON) is None
            assert await repositories.requests.add(again, NOON) == earlier
            await repositories.requests.erase(now.customer(ACME, "ann"))
            assert await repositories.requests.add(again, NOON) is None
            failed = await repositories.generations.fail_customer(now.customer(ACME, "ann"), Failure("A", "b"), NOON)
            assert failed == 1

    # Generations

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

    async def test_the_longest_wait_is_that_of_the_one_that_is_due_for_the_longest(self, work: UnitOfWork) -> None:
        async def longest_wait(now: datetime) -> timedelta:
            async with work.read() as repositories:
                return await repositories.generations.longest_wait(now)

        assert await longest_wait(NOON) == timedelta()
        await given(work, a_generation("gen_1", created_at=NOON - timedelta(minutes=9)), a_generation("gen_2"))
        assert await longest_wait(NOON) == timedelta(minutes=9)
        first = await claimed(work, "lea_1")
        assert await longest_wait(NOON) == timedelta(), "one runs, the other is due just now"
        await claimed(work, "lea_2")
        async with work.begin() as repositories:
            await repositories.generations.try_again(first, NOON, NOON + timedelta(seconds=8))
        assert await longest_wait(NOON + timedelta(seconds=10)) == timedelta(seconds=2), "it was due only after a pause"

    async def test_one_of_anothers_comes_before_a_crowd_that_waited_longer(self, work: UnitOfWork) -> None:
        """With one worker as with many: fewest running first, then who was not served for longest."""
        crowd = [a_generation(f"gen_{n}", created_at=NOON - timedelta(minutes=n)) for n in range(1, 9)]
        await given(work, *crowd, replace(a_generation("gen_other"), account_id=OTHER))
        first, second = await claimed(work, "lea_1"), await claimed(work, "lea_2")
        assert (first.generation_id, second.generation_id) == ("gen_8", "gen_other")

    async def test_with_one_worker_accounts_take_turns(self, work: UnitOfWork) -> None:
        mine = [a_generation(f"gen_{n}", created_at=NOON - timedelta(minutes=9 - n)) for n in range(4)]
        theirs = [replace(a_generation(f"gen_o{n}"), account_id=OTHER) for n in range(2)]
        await given(work, *mine, *theirs)
        async with work.read() as repositories:
            assert await repositories.generations.count_open(ACME, NOON - timedelta(hours=1)) == 4
            assert await repositories.generations.count_open(ACME, NOON - timedelta(minutes=7)) == 2
            assert await repositories.generations.count_open(OTHER, NOON) == 2
        turns = []
        for second in range(6):
            now = NOON + timedelta(seconds=second)
            generation = await claimed(work, f"lea_{second}", now)
            turns.append(generation.account_id)
            async with work.begin() as repositories:
                await repositories.generations.complete(generation, ImageId("img_r"), now)
        assert turns == [ACME, OTHER, ACME, OTHER, ACME, ACME]

    async def test_a_heartbeat_keeps_a_lease_and_cannot_bring_back_a_lost_one(self, work: UnitOfWork) -> None:
        await given(work, a_generation())
        alive = await claimed(work, "lea_1")
        async with work.begin() as repositories:
            assert await repositories.generations.renew(alive, LEASE_ENDS + timedelta(seconds=30))
        assert await claim(work, "lea_2", LEASE_ENDS) is None
        taken_over = await claimed(work, "lea_3", LEASE_ENDS + timedelta(seconds=30))
        assert taken_over.generation_id == alive.generation_id
        async with work.begin() as repositories:
            assert not await repositories.generations.renew(alive, LEASE_ENDS + timedelta(hours=1))

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

    async def test_an_attempt_that_was_handed_back_does_not_count(self, work: UnitOfWork) -> None:
        await given(work, a_generation())
        first = await claimed(work)
        handed_back = replace(first, attempts=first.attempts - 1)
        async with work.begin() as repositories:
            assert await repositories.generations.try_again(handed_back, NOON, NOON)
            assert not await repositories.generations.try_again(handed_back, NOON, NOON)
        again = await claimed(work, "lea_2")
        assert (again.attempts, again.generation_id) == (1, first.generation_id)

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
