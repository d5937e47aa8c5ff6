"""A pool that is started by whoever comes first."""

import asyncio

from adapters.sandbox.started_on_demand import StartedOnDemand
from adapters.sandbox.worker_pool import WorkerPool
from tests.sandbox.pools import SMALL, worker_process_ids
from tests.sandbox.preparers import obedient


async def test_a_pool_on_demand_starts_once_for_any_number_of_callers_and_not_before() -> None:
    pool = WorkerPool(obedient, workers=1, max_queued=9, limits=SMALL)
    on_demand = StartedOnDemand(pool)
    assert pool.fork_server_process_id is None
    prepared = await asyncio.gather(*(on_demand.prepare(b"healthy", crop=True) for _ in range(4)))
    assert [photo.jpeg for photo in prepared] == [b"healthy"] * 4
    assert len(worker_process_ids(pool)) == 1
    await pool.close()
