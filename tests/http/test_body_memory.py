"""Memory for bodies: slow senders, greedy accounts and half-read bodies, in a small simulation."""

import asyncio
from collections import Counter
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from application import fair_shares
from application.fair_shares import BodyClaim, BodyMemory
from domain.account import AccountId
from domain.errors import Overloaded
from tests.builders import ACME, OTHER
from tests.patience import PATIENCE_SECONDS

LONGEST = 10
TOTAL = 100


@dataclass
class Body:
    """One that sends `piece_bytes` in each round until it has sent everything, or until it stops for ever."""

    account_id: AccountId
    length_bytes: int
    piece_bytes: int
    stops_after: int
    sent_bytes: int = 0
    was_held_up: bool = False
    is_done: bool = False
    claim: BodyClaim | None = None
    draw: "asyncio.Task[None] | None" = None

    @property
    def gives_up(self) -> bool:
        return self.sent_bytes >= self.stops_after and self.sent_bytes < self.length_bytes


@dataclass
class World:
    """Each round every body sends a piece if it is read; one that stopped is cut after a while, as too slow."""

    memory: BodyMemory
    bodies: list[Body]
    patience_rounds: int = 3
    stopped_for: Counter[int] = field(default_factory=Counter)

    async def run(self, rounds: int) -> None:
        tasks = [asyncio.create_task(self._send(body)) for body in self.bodies]
        for _ in range(rounds * 4):
            await asyncio.sleep(0)
            assert 0 <= self.memory.held_bytes <= self.memory.max_bytes
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert self.memory.held_bytes == 0
        assert self.memory.bodies == 0

    async def _send(self, body: Body) -> None:
        with self.memory.claim(body.account_id, body.length_bytes) as claim:
            while body.sent_bytes < body.length_bytes:
                if body.gives_up:
                    for _ in range(self.patience_rounds):
                        await asyncio.sleep(0)
                    return
                piece = min(body.piece_bytes, body.length_bytes - body.sent_bytes)
                body.sent_bytes += piece
                await claim.draw(piece)
                await asyncio.sleep(0)
            claim.settle(body.sent_bytes)
            await asyncio.sleep(0)  # the photo's turn at the workers
            body.is_done = True


bodies = st.builds(
    Body,
    account_id=st.sampled_from([AccountId(name) for name in "abc"]),
    length_bytes=st.integers(1, LONGEST),
    piece_bytes=st.integers(1, LONGEST),
    stops_after=st.integers(0, 3 * LONGEST),
)


@settings(max_examples=150, deadline=None)
@given(st.lists(bodies, min_size=1, max_size=60), st.sampled_from([40, 50, TOTAL]))
def test_every_body_that_is_sent_is_read_to_its_end_whoever_else_stops_halfway(all_of: list[Body], total: int) -> None:
    asyncio.run(World(BodyMemory(total, LONGEST), all_of).run(rounds=60 * 30))
    assert [body for body in all_of if not body.is_done and body.stops_after >= body.length_bytes] == []


@settings(max_examples=100, deadline=None)
@given(st.lists(bodies, min_size=1, max_size=80))
def test_a_newcomer_is_read_at_once_whatever_one_account_does(greedy: list[Body]) -> None:
    """One account never holds more than leaves room for another one's longest body."""

    async def scenario() -> None:
        memory = BodyMemory(TOTAL, LONGEST)
        for body in greedy:
            body.account_id = ACME
        tasks = [asyncio.create_task(hold(memory, body)) for body in greedy]
        for _ in range(200):
            await asyncio.sleep(0)
        with memory.claim(OTHER, LONGEST) as claim:
            async with asyncio.timeout(PATIENCE_SECONDS):
                await claim.draw(LONGEST)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def hold(memory: BodyMemory, body: Body) -> None:
        with memory.claim(body.account_id, body.length_bytes) as claim:
            for _ in range(-(-body.length_bytes // body.piece_bytes)):
                await claim.draw(min(body.piece_bytes, body.length_bytes))
            await asyncio.Event().wait()

    asyncio.run(scenario())


async def filled(memory: BodyMemory, account_id: AccountId) -> tuple[int, list["asyncio.Task[None]"]]:
    """Bodies of the longest kind until one has to wait. Returns: how many were read."""
    read = 0

    async def one() -> None:
        nonlocal read
        with memory.claim(account_id, LONGEST) as claim:
            await claim.draw(LONGEST)
            read += 1
            await asyncio.Event().wait()

    tasks = [asyncio.create_task(one()) for _ in range(TOTAL)]
    for _ in range(10):
        await asyncio.sleep(0)
    return read, tasks


async def ended(tasks: list["asyncio.Task[None]"]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_an_account_that_is_alone_gets_three_quarters_and_the_next_one_its_share_of_the_rest() -> None:
    memory = BodyMemory(TOTAL, LONGEST)
    first, tasks = await filled(memory, ACME)
    second, more = await filled(memory, OTHER)
    assert (first * LONGEST, second * LONGEST) == (70, 20)
    await ended(tasks + more)


async def test_slow_senders_hold_only_what_they_have_sent() -> None:
    memory = BodyMemory(TOTAL, LONGEST)
    claims = [memory.claim(ACME, LONGEST) for _ in range(50)]
    for claim in claims:
        await claim.__enter__().draw(1)
    assert (memory.held_bytes, memory.bodies) == (50, 50)
    for claim in claims:
        claim.__exit__(None, None, None)


async def test_who_waits_too_long_is_told_to_come_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fair_shares, "LONGEST_WAIT_SECONDS", 0.01)
    memory = BodyMemory(TOTAL, LONGEST)
    _, tasks = await filled(memory, ACME)
    with memory.claim(ACME, LONGEST) as claim, pytest.raises(Overloaded):
        await claim.draw(LONGEST)
    await ended(tasks)
    assert memory.held_bytes == 0


async def test_a_body_of_unknown_length_gives_back_what_it_did_not_need() -> None:
    memory = BodyMemory(40, LONGEST)
    with memory.claim(ACME, 10) as first, memory.claim(ACME, 10) as second, memory.claim(ACME, None) as third:
        await first.draw(10)
        await second.draw(9)
        await third.draw(2)  # beyond the half: the longest possible is claimed
        assert memory.held_bytes == 29
        third.settle(2)
        assert memory.held_bytes == 21
