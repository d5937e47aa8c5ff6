"""A PostgreSQL that is slow, busy, full or restarted, and how purgers share its work."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from adapters.sql.unit_of_work import SqlUnitOfWork, create_engine
from domain.account import KeyId
from domain.errors import Overloaded
from domain.image import ImageId
from tests.builders import ACME, NOON, a_stored_photo, an_account, an_image
from tests.patience import PATIENCE_SECONDS

KILL_WHO_WAITS = text("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event_type = 'Lock'")
IN_A_WEEK = NOON + timedelta(days=7)


@pytest.fixture
async def engine(postgres_url: str) -> AsyncIterator[AsyncEngine]:
    engine = create_engine(postgres_url, pool_size=4, statement_seconds=int(PATIENCE_SECONDS))
    async with SqlUnitOfWork(engine).begin() as repositories:
        await repositories.accounts.add(an_account(ACME))
    yield engine
    await engine.dispose()


@pytest.fixture
def work(engine: AsyncEngine) -> SqlUnitOfWork:
    return SqlUnitOfWork(engine)


@pytest.fixture
async def hasty(postgres_url: str) -> AsyncIterator[SqlUnitOfWork]:
    """On connections of its own, with little patience."""
    hasty = create_engine(postgres_url, pool_size=4, statement_seconds=3)
    yield SqlUnitOfWork(hasty)
    await hasty.dispose()


async def store(work: SqlUnitOfWork, count: int) -> None:
    async with work.begin() as repositories:
        for number in range(count):
            image = an_image(f"img_{number:03}")
            await repositories.images.reserve(image)
            await repositories.images.publish(image, a_stored_photo())


async def find_by_key(work: SqlUnitOfWork) -> None:
    """By way of the driver itself."""
    async with work.read() as repositories:
        await repositories.accounts.find_key(KeyId("unknown"))


async def find_the_account(work: SqlUnitOfWork) -> None:
    async with work.read() as repositories:
        assert await repositories.accounts.find(ACME) == an_account(ACME)


async def test_a_statement_that_takes_too_long_is_an_outage_and_leaves_nothing_stuck(
    engine: AsyncEngine, work: SqlUnitOfWork, hasty: SqlUnitOfWork
) -> None:
    await store(work, 1)
    async with engine.connect() as holder:
        await holder.execute(text("SELECT 1 FROM images FOR UPDATE"))
        with pytest.raises(Overloaded):
            async with hasty.begin() as repositories:
                await repositories.images.mark_deleting(ImageId("img_000"), ACME, NOON)
        await holder.rollback()
    async with work.begin() as repositories:
        assert await repositories.images.mark_deleting(ImageId("img_000"), ACME, NOON) is not None


async def test_a_look_up_that_takes_too_long_is_an_outage_too(engine: AsyncEngine, hasty: SqlUnitOfWork) -> None:
    async with engine.connect() as holder:
        await holder.execute(text("LOCK TABLE api_keys IN ACCESS EXCLUSIVE MODE"))
        outages = await asyncio.gather(*(find_by_key(hasty) for _ in range(3)), return_exceptions=True)
        assert [type(outage) for outage in outages] == [Overloaded] * 3
        await holder.rollback()
        await asyncio.gather(*(find_by_key(hasty) for _ in range(3)))  # every connection went back into the pool


async def test_a_look_up_during_a_restart_is_an_outage_and_the_next_one_is_not(engine: AsyncEngine) -> None:
    work = SqlUnitOfWork(engine)
    async with engine.connect() as holder:
        await holder.execute(text("LOCK TABLE api_keys IN ACCESS EXCLUSIVE MODE"))
        waiting = asyncio.create_task(find_by_key(work))
        async with engine.execution_options(isolation_level="AUTOCOMMIT").connect() as killer:
            while not await killer.scalar(KILL_WHO_WAITS):
                await killer.execute(text("SELECT pg_sleep(0.01)"))
        with pytest.raises(Overloaded):
            await waiting
        await holder.rollback()
    await find_by_key(work)


@pytest.mark.usefixtures("engine")
async def test_more_transactions_than_connections_wait_and_then_give_up(hasty: SqlUnitOfWork) -> None:
    release = asyncio.Event()
    holding = asyncio.Semaphore(0)

    async def hold() -> None:
        async with hasty.read() as repositories:
            await repositories.accounts.find(ACME)
            holding.release()
            await release.wait()

    async with asyncio.TaskGroup() as group:
        for _ in range(4):
            group.create_task(hold())
        for _ in range(4):
            await holding.acquire()
        for find in (find_by_key, find_the_account):
            with pytest.raises(Overloaded):
                await find(hasty)
        release.set()
    await find_the_account(hasty)


async def test_a_restart_of_the_server_is_not_even_noticed(engine: AsyncEngine, work: SqlUnitOfWork) -> None:
    async with work.read() as one, work.read() as other:
        await one.accounts.find(ACME)
        await other.accounts.find(ACME)
    async with engine.connect() as killer:
        await killer.execute(
            text(
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        )
    for find in (find_by_key, find_the_account) * 2:
        await find(work)


async def test_purgers_share_the_work_without_waiting_for_each_other(work: SqlUnitOfWork) -> None:
    await store(work, 100)
    everyone_has_a_batch = asyncio.Barrier(4)

    async def purge() -> list[str]:
        async with work.begin() as repositories:
            batch = await repositories.images.mark_due_deleting(IN_A_WEEK, IN_A_WEEK + timedelta(minutes=1), 25)
            await everyone_has_a_batch.wait()  # all four transactions are open now, each with its rows locked
        return [image.image_id for image in batch.images]

    batches = await asyncio.gather(*(purge() for _ in range(4)))
    assert [len(batch) for batch in batches] == [25] * 4
    assert len({image_id for batch in batches for image_id in batch}) == 100
