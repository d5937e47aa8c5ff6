"""Turns at the workers: round-robin over accounts, in a simulation with adversarial accounts."""

import asyncio
from collections import Counter
from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from application.fair_turns import LONG_SECONDS, FairTurns
from domain.account import AccountId
from tests.builders import ACME, OTHER

A, B = ACME, OTHER


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@dataclass(eq=False)
class Photo:
    """Of an adversary: it stays at its worker until a rule ends it."""

    account_id: AccountId
    over: asyncio.Event = field(default_factory=asyncio.Event)
    has_begun: bool = False
    task: "asyncio.Task[None] | None" = None


class Adversaries(RuleBasedStateMachine):
    """Accounts that send, give up, and keep workers for as long as they like, in any order."""

    accounts = st.sampled_from([AccountId(name) for name in "abcd"])

    @initialize(places=st.integers(1, 4))
    def open(self, places: int) -> None:
        self.loop = asyncio.new_event_loop()
        self.clock = Clock()
        self.turns = FairTurns(places, self.clock)
        self.photos: list[Photo] = []
        self.passed: Counter[tuple[AccountId, AccountId]] = Counter()
        """How often one that waits, with nothing in work, was passed over by another."""

    def teardown(self) -> None:
        """Nobody waits for ever: once every photo ends, every one of them was begun."""
        while waiting := [photo for photo in self.photos if not photo.over.is_set()]:
            for photo in waiting:
                photo.over.set()
            self.settle()
        assert all(photo.has_begun for photo in self.photos)
        assert (self.turns.waiting, self.turns._running.total()) == (0, 0)
        self.loop.close()

    def settle(self) -> None:
        for _ in range(10 + 5 * len(self.photos)):
            self.loop.run_until_complete(asyncio.sleep(0))
        self.photos = [photo for photo in self.photos if photo.task and not photo.task.done()]

    def running(self, account_id: AccountId | None = None) -> list[Photo]:
        return [photo for photo in self.photos if photo.has_begun and account_id in {None, photo.account_id}]

    def waiting(self) -> list[Photo]:
        return [photo for photo in self.photos if not photo.has_begun]

    async def send(self, photo: Photo) -> None:
        async with self.turns.turn(photo.account_id):
            self.begin(photo)
            await photo.over.wait()
        self.photos.remove(photo)

    def begin(self, photo: Photo) -> None:
        photo.has_begun = True
        mine = photo.account_id
        for other in {one.account_id for one in self.waiting()} - {mine}:
            if not self.running(other):
                self.passed[other, mine] += 1
                assert self.passed[other, mine] <= 1, f"{other} waits for nothing but {mine}'s"
        for other, by in list(self.passed):
            if other == mine:
                del self.passed[other, by]

    @rule(account_id=accounts, many=st.integers(1, 6))
    def sends(self, account_id: AccountId, many: int) -> None:
        for _ in range(many):
            photo = Photo(account_id)
            self.photos.append(photo)
            photo.task = self.loop.create_task(self.send(photo))
        self.settle()

    @precondition(lambda self: self.running())
    @rule(data=st.data(), seconds=st.sampled_from([0.0, 0.1, 5 * LONG_SECONDS]))
    def ends(self, data: st.DataObject, seconds: float) -> None:
        self.clock.now += seconds
        data.draw(st.sampled_from(self.running())).over.set()
        self.settle()

    @precondition(lambda self: self.waiting())
    @rule(data=st.data())
    def gives_up(self, data: st.DataObject) -> None:
        photo = data.draw(st.sampled_from(self.waiting()))
        assert photo.task is not None
        photo.task.cancel()
        self.settle()
        if not any(one.account_id == photo.account_id for one in self.waiting()):
            for other, by in list(self.passed):
                if other == photo.account_id:
                    del self.passed[other, by]

    @invariant()
    def no_place_is_empty_while_somebody_may_have_it(self) -> None:
        if not hasattr(self, "turns"):
            return
        places, running = self.turns.places, self.running()
        assert len(running) == self.turns._running.total() <= places
        if len(running) < places:
            for photo in self.waiting():
                assert self.turns._mean_seconds[photo.account_id] > LONG_SECONDS
                assert len(self.running(photo.account_id)) >= max(1, places - 1)


Adversaries.TestCase.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
TestAdversaries = Adversaries.TestCase


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 200), st.integers(1, 4), st.integers(1, 5))
def test_one_photo_behind_anothers_hundreds_begins_as_soon_as_a_place_is_free(
    crowd: int, places: int, rounds: int
) -> None:
    begun: list[AccountId] = []
    before: list[int] = []

    async def scenario() -> None:
        turns = FairTurns(places, Clock())

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


async def test_an_account_of_slow_photos_leaves_one_place_to_the_others() -> None:
    clock = Clock()
    turns = FairTurns(2, clock)
    for _ in range(10):
        async with turns.turn(A):
            clock.now += 4 * LONG_SECONDS
    async with turns.turn(A):
        waiting = asyncio.create_task(turns.turn(A).__aenter__())
        await asyncio.sleep(0)
        assert not waiting.done()
        async with asyncio.timeout(1), turns.turn(B):
            assert not waiting.done()
    await waiting


async def test_an_account_of_quick_photos_that_is_alone_has_every_place() -> None:
    turns = FairTurns(3, Clock())
    async with asyncio.timeout(1), turns.turn(A), turns.turn(A), turns.turn(A):
        assert turns.waiting == 0
