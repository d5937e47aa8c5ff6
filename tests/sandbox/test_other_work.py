"""The same pool for work that is no photo's: with refusals of its own, started by whoever comes first."""

import asyncio

import pytest

from adapters.sandbox.started_on_demand import StartedOnDemand
from adapters.sandbox.worker_pool import WorkerLimits, WorkerPool
from adapters.try_on.preview import REFUSALS, PreviewTryOnEngine
from adapters.try_on.preview_messages import pack, unpack
from domain.errors import EngineRefused, Overloaded, PersonNotFacing
from tests.sandbox.pools import SMALL, a_pool, answer, worker_process_ids
from tests.sandbox.preparers import dawdling, obedient


async def test_a_refusal_that_belongs_to_the_work_arrives_as_itself_and_costs_no_worker() -> None:
    pool = WorkerPool(obedient, workers=1, max_queued=9, limits=SMALL, refusals=REFUSALS)
    await pool.start()
    with pytest.raises(PersonNotFacing):
        await answer(pool, "refuse other")
    assert pool.restarts == 0
    await pool.close()


async def test_a_refusal_that_no_photo_can_have_is_a_forged_answer() -> None:
    async with a_pool() as pool:
        with pytest.raises(Overloaded):
            await answer(pool, "refuse other")
        assert await answer(pool, "healthy") == "healthy"
        assert pool.restarts == 1


async def test_a_pool_on_demand_starts_once_for_any_number_of_callers_and_not_before() -> None:
    pool = WorkerPool(obedient, workers=1, max_queued=9, limits=SMALL)
    on_demand = StartedOnDemand(pool)
    assert pool.fork_server_process_id is None
    prepared = await asyncio.gather(*(on_demand.prepare(b"healthy", crop=True) for _ in range(4)))
    assert [photo.jpeg for photo in prepared] == [b"healthy"] * 4
    assert len(worker_process_ids(pool)) == 1
    await pool.close()


async def test_a_preview_that_takes_too_long_is_final() -> None:
    pool = WorkerPool(dawdling, workers=1, max_queued=9, limits=WorkerLimits(photo_seconds=0.2))
    engine = PreviewTryOnEngine(pool)
    with pytest.raises(EngineRefused):
        await engine.render(b"person", b"garment")
    await engine.close()


async def test_an_engine_that_was_never_needed_closes_without_having_started() -> None:
    pool = WorkerPool(obedient, workers=1, max_queued=9, limits=SMALL)
    await PreviewTryOnEngine(pool).close()
    assert pool.fork_server_process_id is None


def test_two_pictures_travel_as_one_message() -> None:
    assert unpack(memoryview(pack(b"person", b"garment"))) == (b"person", b"garment")
    assert unpack(pack(b"", b"garment")) == (b"", b"garment")
