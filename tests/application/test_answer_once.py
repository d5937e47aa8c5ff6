"""A request that comes again with its idempotency key."""

from datetime import timedelta

import pytest

from application.answer_once import AnswerOnce
from application.ports.rows import KeptRequest
from domain.customer import IdempotencyRecord
from domain.errors import IdempotencyKeyInUse, IdempotencyKeyReused, ImageNotFound, Overloaded
from tests.builders import MovableClock, a_customer, a_database_with_accounts, an_account, an_image
from tests.durability.faults import Fault, FaultyUnitOfWork, Plan

RECORD = IdempotencyRecord(b"key", b"request")
ANOTHER = IdempotencyRecord(b"key", b"another request")


class Desk:
    """The use case, and a database that may fail."""

    def __init__(self, work: object, clock: MovableClock) -> None:
        self.work, self.clock = work, clock

    def once(self, plan: Plan | None = None) -> AnswerOnce:
        work = FaultyUnitOfWork(self.work, plan) if plan else self.work  # type: ignore[arg-type]
        return AnswerOnce(work, self.clock)  # type: ignore[arg-type]

    async def begin(self, record: IdempotencyRecord | None = RECORD, plan: Plan | None = None) -> KeptRequest | None:
        async with self.once(plan).keep(an_account(), record, a_customer()) as request:
            return request

    async def refuse(self, plan: Plan | None = None) -> None:
        with pytest.raises(ImageNotFound):
            async with self.once(plan).keep(an_account(), RECORD, a_customer()):
                raise ImageNotFound

    async def finish(self, request: KeptRequest | None) -> None:
        async with self.work.begin() as repositories:  # type: ignore[attr-defined]
            await self.once().finish(repositories, request, "result")


@pytest.fixture
async def desk() -> Desk:
    return Desk(await a_database_with_accounts(), MovableClock())


async def test_without_a_key_nothing_is_kept(desk: Desk) -> None:
    assert await desk.begin(None) is None
    await desk.finish(None)


async def test_a_request_with_a_new_key_begins_and_names_its_customer(desk: Desk) -> None:
    request = await desk.begin()
    assert request is not None
    assert (request.result, request.customer) == (None, a_customer())


async def test_the_same_request_waits_for_the_first_one_and_gets_its_result(desk: Desk) -> None:
    request = await desk.begin()
    with pytest.raises(IdempotencyKeyInUse):
        await desk.begin()
    await desk.finish(request)
    again = await desk.begin()
    assert again is not None
    assert again.result == "result"


async def test_another_request_may_not_have_the_same_key(desk: Desk) -> None:
    request = await desk.begin()
    with pytest.raises(IdempotencyKeyReused):
        await desk.begin(ANOTHER)
    await desk.finish(request)
    with pytest.raises(IdempotencyKeyReused):
        await desk.begin(ANOTHER)


async def test_a_result_is_given_again_for_a_day(desk: Desk) -> None:
    await desk.finish(await desk.begin())
    desk.clock.advance(hours=24, seconds=-1)
    again = await desk.begin()
    assert again is not None
    assert again.result == "result"
    desk.clock.advance(seconds=1)
    anew = await desk.begin()
    assert anew is not None
    assert anew.result is None


async def test_a_request_that_died_holds_its_key_for_five_minutes(desk: Desk) -> None:
    await desk.begin()
    desk.clock.advance(minutes=5, seconds=-1)
    with pytest.raises(IdempotencyKeyInUse):
        await desk.begin()
    desk.clock.advance(seconds=1)
    assert await desk.begin() is not None
    assert timedelta(minutes=5) == AnswerOnce.LEASE


async def test_a_request_that_was_refused_may_come_again_at_once(desk: Desk) -> None:
    await desk.refuse()
    assert await desk.begin() is not None


async def test_giving_up_while_the_database_is_down_raises_nothing(desk: Desk) -> None:
    await desk.refuse(Plan(Fault.DOWN_FROM_HERE, call="RequestRepository.remove"))
    with pytest.raises(IdempotencyKeyInUse):
        await desk.begin()


async def test_a_beginning_whose_commit_seemed_to_fail_leaves_the_key_free(desk: Desk) -> None:
    with pytest.raises(Overloaded):
        await desk.begin(plan=Plan(Fault.FAILS_AFTER, call="commit"))
    assert await desk.begin() is not None


async def test_the_key_of_an_upload_is_taken_for_a_day(desk: Desk) -> None:
    async with desk.work.begin() as repositories:  # type: ignore[attr-defined]
        await repositories.images.reserve(an_image(idempotency=RECORD))
    desk.clock.advance(hours=24, seconds=-1)
    with pytest.raises(IdempotencyKeyReused):
        await desk.begin()
    desk.clock.advance(seconds=1)
    assert await desk.begin() is not None
