"""Waiting for a generation with the request open."""

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Any

from adapters.memory.unit_of_work import InMemoryUnitOfWork
from adapters.object_storage.hmac_links import HmacLinks
from application.generations import AwaitGeneration, ReadGeneration
from application.read_image import PreviewLinks
from domain.generation import Failure, GenerationId, LeaseId
from tests.builders import ACME, NOON, MovableClock, a_database_with_accounts
from tests.contracts.try_on_repositories import a_generation
from tests.durability.faults import FaultyUnitOfWork, Plan
from tests.patience import PATIENCE_SECONDS

LINKS = HmacLinks("https://photos.test", [b"0" * 32])


async def a_queue_of_one() -> tuple[InMemoryUnitOfWork, AwaitGeneration]:
    work, clock = await a_database_with_accounts(), MovableClock()
    async with work.begin() as repositories:
        await repositories.generations.add(a_generation("gen_1"))
    return work, AwaitGeneration(ReadGeneration(work, PreviewLinks(LINKS, clock, timedelta(minutes=15)), clock))


async def nobody_leaves() -> None:
    await asyncio.Event().wait()


async def test_the_answer_comes_when_the_generation_has_ended() -> None:
    work, waiting = await a_queue_of_one()

    async def ends() -> None:
        await asyncio.sleep(0.05)
        async with work.begin() as repositories:
            claimed = await repositories.generations.claim(LeaseId("l"), "sandbox", NOON, NOON + timedelta(minutes=1))
            assert claimed is not None
            await repositories.generations.fail(claimed, Failure("CONTENT_FILTERED", "no"), NOON)

    ending = asyncio.create_task(ends())
    report = await asyncio.wait_for(waiting.execute(GenerationId("gen_1"), ACME, 600, nobody_leaves), PATIENCE_SECONDS)
    await ending
    assert (report.generation.status, report.generation.failure) == ("FAILED", Failure("CONTENT_FILTERED", "no"))


async def test_the_answer_comes_when_the_time_is_up() -> None:
    _, waiting = await a_queue_of_one()
    clock = asyncio.get_running_loop().time
    began = clock()
    report = await asyncio.wait_for(waiting.execute(GenerationId("gen_1"), ACME, 0.6, nobody_leaves), PATIENCE_SECONDS)
    assert clock() - began >= 0.6
    assert report.generation.status == "PENDING"


async def test_the_waiting_ends_when_the_client_leaves() -> None:
    _, waiting = await a_queue_of_one()

    async def leaves() -> None:
        await asyncio.sleep(0.05)

    report = await asyncio.wait_for(waiting.execute(GenerationId("gen_1"), ACME, 600, leaves), PATIENCE_SECONDS)
    assert report.generation.status == "PENDING"


async def test_nobody_looks_after_a_client_that_has_its_answer() -> None:
    _, waiting = await a_queue_of_one()
    ended = asyncio.Event()

    async def leaves() -> None:
        try:
            await nobody_leaves()
        finally:
            ended.set()

    await waiting.execute(GenerationId("gen_1"), ACME, 0.05, leaves)
    await asyncio.wait_for(ended.wait(), 30)


async def test_of_one_account_so_many_wait_and_one_more_is_answered_at_once() -> None:
    work, waiting = await a_queue_of_one()
    left, all_wait = asyncio.Event(), asyncio.Barrier(1 + AwaitGeneration.WAITING_PER_ACCOUNT)

    async def leaves() -> None:
        await all_wait.wait()
        await left.wait()

    crowd = [
        asyncio.create_task(waiting.execute(GenerationId("gen_1"), ACME, 60, leaves))
        for _ in range(AwaitGeneration.WAITING_PER_ACCOUNT)
    ]
    await all_wait.wait()
    plan = Plan()
    counted: Any = FaultyUnitOfWork(work, plan)
    looking = replace(waiting.read_generation, work=counted)
    one_more = AwaitGeneration(looking, waiting.waiting).execute(GenerationId("gen_1"), ACME, 60, nobody_leaves)
    report = await asyncio.wait_for(one_more, 30)
    assert report.generation.status == "PENDING"
    assert plan.calls.count("work.begin") == 1
    assert not any(task.done() for task in crowd)
    crowd[0].cancel()
    await asyncio.wait(crowd[:1])
    assert waiting.waiting[ACME] == AwaitGeneration.WAITING_PER_ACCOUNT - 1
    left.set()
    await asyncio.gather(*crowd[1:])
    assert not waiting.waiting


async def test_eight_may_wait() -> None:
    assert AwaitGeneration.WAITING_PER_ACCOUNT == 8
