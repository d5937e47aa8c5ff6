"""Turns at the workers: round-robin over accounts, in a simulation with adversarial accounts."""

import asyncio
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from application.fair_shares import FairTurns
from domain.account import AccountId
from tests.builders import ACME, OTHER
from tests.patience import PATIENCE_SECONDS

A, B, C = ACME, OTHER, AccountId("third")


@dataclass(frozen=True)
class Photo:
    account_id: AccountId
    rounds: int


photos = st.builds(Photo, st.sampled_from([AccountId(name) for name in "abcd"]), st.integers(1, 5))


@settings(max_examples=150, deadline=None)
@given(st.lists(photos, min_size=1, max_size=60), st.integers(1, 4), st.data())
def test_nobody_is_passed_over_more_often_than_there_are_other_accounts(
    all_of: list[Photo], places: int, data: st.DataObject
) -> None:
    """Between two turns of an account that waits, no other one begins more than one beyond it."""
    begun: list[AccountId] = []

    async def scenario() -> None:
        turns = FairTurns(places)

        async def one(photo: Photo) -> None:
            async with turns.turn(photo.account_id):
                begun.append(photo.account_id)
                assert turns._running.total() <= places + 1
                assert turns._running.total() <= places or 1 in turns._running.values()
                for _ in range(photo.rounds):
                    await asyncio.sleep(0)

        tasks = [asyncio.create_task(one(photo)) for photo in all_of]
        given_up = data.draw(st.sets(st.integers(0, len(tasks) - 1), max_size=5))
        await asyncio.sleep(0)
        for number in given_up:
            tasks[number].cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert turns.waiting == 0
        assert turns._running.total() == 0

    asyncio.run(scenario())
    assert len(begun) >= len(all_of) - 5


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 200), st.integers(1, 4), st.integers(1, 5))
def test_one_photo_behind_anothers_hundreds_begins_as_soon_as_a_place_is_free(
    crowd: int, places: int, rounds: int
) -> None:
    begun: list[AccountId] = []
    before: list[int] = []

    async def scenario() -> None:
        turns = FairTurns(places)

        async def one(account_id: AccountId) -> None:
            async with turns.turn(account_id):
                begun.append(account_id)
                for _ in range(rounds):
                    await asyncio.sleep(0)

        tasks = [asyncio.create_task(one(A)) for _ in range(crowd)]
        await asyncio.sleep(0)
        before.append(len(begun))
        await asyncio.gather(*tasks, asyncio.create_task(one(B)))

    asyncio.run(scenario())
    assert begun.index(B) - before[0] <= 2 * places  # some were dealt a turn in the moment of its asking


async def test_an_account_without_a_photo_in_work_does_not_wait_for_the_end_of_anothers() -> None:
    turns = FairTurns(1)
    async with asyncio.timeout(PATIENCE_SECONDS), turns.turn(A), turns.turn(B):
        assert turns.waiting == 0


@pytest.mark.parametrize(
    ("places", "in_work", "next_one"),
    [
        pytest.param(1, (A, B), C, id="the place beyond the workers is one"),
        pytest.param(2, (A, A), A, id="an account alone has the places of the workers and no other"),
    ],
)
async def test_who_has_to_wait(places: int, in_work: tuple[AccountId, AccountId], next_one: AccountId) -> None:
    turns = FairTurns(places)
    one, other = in_work
    async with turns.turn(one), turns.turn(other):
        waiting = asyncio.create_task(turns.turn(next_one).__aenter__())
        await asyncio.sleep(0)
        assert turns.waiting == 1
    async with asyncio.timeout(PATIENCE_SECONDS):
        await waiting


async def test_nothing_is_kept_of_an_account_whose_photos_are_done() -> None:
    turns = FairTurns(2)
    async with turns.turn(A):
        pass
    assert not turns._running
    assert not turns._waiting
