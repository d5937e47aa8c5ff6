"""Every way in which a real PostgreSQL fails, at connect, execute and commit, is `Overloaded`, and passes."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import asyncpg
import pytest
from sqlalchemy import event
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine

from adapters.memory.surroundings import InMemoryObjectStore
from adapters.sql.try_on_rows import SqlGenerationRepository
from adapters.sql.unit_of_work import SqlUnitOfWork, create_engine
from application.manage_accounts import ChangeAccount
from application.ports.rows import Repositories
from application.read_image import FileSource, StoredSource
from domain.account import KeyId
from domain.errors import Overloaded
from domain.generation import Generation, GenerationStatus
from tests.builders import ACME, MovableClock, a_customer, an_account, an_image
from tests.durability.world import World
from tests.patience import PATIENCE_SECONDS
from tests.postgres import APP_ROLE, PostgresServer

TERMINATE_THE_OTHERS = (
    "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = '{}' AND pid <> pg_backend_pid()"
)


def database_in(url: str) -> str:
    return url.partition("?")[0].rpartition("/")[2]


@asynccontextmanager
async def work_on(url: str, **limits: int) -> AsyncIterator[SqlUnitOfWork]:
    engine = create_engine(url, **{"pool_size": 4, "statement_seconds": 3, **limits})
    yield SqlUnitOfWork(engine)
    await engine.dispose()


@pytest.fixture
async def engine(postgres_url: str) -> AsyncIterator[AsyncEngine]:
    engine = create_engine(postgres_url, pool_size=4, statement_seconds=int(PATIENCE_SECONDS))
    async with SqlUnitOfWork(engine).begin() as repositories:
        await repositories.accounts.add(an_account(ACME))
    yield engine
    await engine.dispose()


async def find_a_key(work: SqlUnitOfWork) -> None:
    async with work.read() as repositories:
        await repositories.accounts.find_key(KeyId("unknown"))


async def advance(work: SqlUnitOfWork) -> None:
    async with work.begin() as repositories:
        await repositories.erasures.advance_epoch(ACME)


USES: dict[str, Callable[[SqlUnitOfWork], Awaitable[None]]] = {
    "read": find_a_key,
    "write": advance,
    "check": SqlUnitOfWork.check,
}


@pytest.fixture(params=USES)
def use(request: pytest.FixtureRequest) -> Callable[[SqlUnitOfWork], Awaitable[None]]:
    return USES[request.param]


async def test_nobody_listens(use: Callable[..., Any]) -> None:
    async with work_on("postgresql+asyncpg://postgres@127.0.0.1:1/none") as work:
        with pytest.raises(Overloaded):
            await use(work)


async def test_the_server_hangs_up_at_once(use: Callable[..., Any]) -> None:
    async def hang_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    async with await asyncio.start_server(hang_up, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        async with work_on(f"postgresql+asyncpg://postgres@127.0.0.1:{port}/none?ssl=disable") as work:
            with pytest.raises(Overloaded):
                await use(work)


NONSENSE = {
    "the web": b"HTTP/1.1 400 Bad Request\r\n\r\n",
    "MySQL": b"J\0\0\0\n8.0.36\0",
    "half a demand for a password": b"R\0\0\0\x04",
    "a way to log in that nobody knows": b"R\0\0\0\x0e\0\0\0\nOAUTH\0\0",
    "Kerberos": b"R\0\0\0\x08\0\0\0\x02",
}


@pytest.mark.parametrize("answer", NONSENSE.values(), ids=NONSENSE)
async def test_somebody_else_listens(answer: bytes) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(8)
        writer.write(answer)
        writer.close()

    async with await asyncio.start_server(talk, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        async with work_on(f"postgresql+asyncpg://postgres@127.0.0.1:{port}/none?sslmode=disable") as work:
            with pytest.raises(Overloaded):
                await find_a_key(work)


async def test_connections_that_are_lost_as_soon_as_they_are_opened(
    engine: AsyncEngine, use: Callable[..., Any]
) -> None:
    await engine.dispose()
    event.listen(engine.sync_engine, "connect", lambda connection, _: connection.driver_connection.terminate())
    with pytest.raises(Overloaded) as lost:
        await use(SqlUnitOfWork(engine))
    assert lost.value.cause == "connection_lost"


async def test_a_statement_whose_tables_were_changed_passes(
    postgres_server: PostgresServer, postgres_url: str, engine: AsyncEngine
) -> None:
    """As by the migration of a later version: statements of the server's connections were made for the old ones."""
    work = SqlUnitOfWork(engine)

    async def look() -> None:
        async with work.begin() as repositories:
            await repositories.accounts.find_by_name(ACME)

    await look()
    widen = "ALTER TABLE accounts ALTER COLUMN name TYPE varchar(200)"
    await postgres_server.execute(widen, database=database_in(postgres_url))
    with pytest.raises(Overloaded) as stale:
        await look()
    assert stale.value.cause == "schema_changed"
    await look()


async def test_an_argument_that_no_column_takes_is_a_bug_and_no_outage(engine: AsyncEngine) -> None:
    unfit: Any = "many"
    with pytest.raises(DBAPIError, match="invalid input for query argument"):
        async with SqlUnitOfWork(engine).begin() as repositories:
            await repositories.accounts.set_credits(ACME, unfit)


async def test_the_driver_loses_the_thread(engine: AsyncEngine) -> None:
    """Which it does when an answer arrives that it does not expect; SQLAlchemy knows nothing of that error."""

    async def lose_it() -> None:
        async with SqlUnitOfWork(engine).begin():
            raise asyncpg.InternalClientError("got result for unknown protocol state")

    with pytest.raises(Overloaded):
        await lose_it()


@pytest.mark.usefixtures("engine")
async def test_too_many_connections(
    postgres_server: PostgresServer, postgres_url: str, use: Callable[..., Any]
) -> None:
    role = f"few_{database_in(postgres_url)}"
    await postgres_server.execute(f"CREATE ROLE {role} LOGIN CONNECTION LIMIT 1 IN ROLE {APP_ROLE}")
    try:
        async with work_on(postgres_url.replace(f"//{APP_ROLE}@", f"//{role}@")) as work:
            answers = await asyncio.gather(*(use(work) for _ in range(40)), return_exceptions=True)
            assert {type(answer) for answer in answers} <= {type(None), Overloaded}
            assert any(isinstance(answer, Overloaded) for answer in answers)
            await use(work)
    finally:
        await postgres_server.execute(f"DROP ROLE {role}")


@pytest.mark.usefixtures("engine")
async def test_an_exhausted_pool(postgres_url: str, use: Callable[..., Any]) -> None:
    async with work_on(postgres_url, pool_size=1) as work:
        async with work.begin() as repositories:
            await repositories.accounts.list()
            with pytest.raises(Overloaded):
                await use(work)
        await use(work)


async def reserve(repositories: Repositories) -> None:
    await repositories.images.reserve(an_image())


async def nothing(_: Repositories) -> None:
    """The commit comes next."""


@pytest.mark.parametrize("then", [reserve, nothing], ids=["execute", "commit"])
async def test_terminated_by_an_administrator_inside_a_transaction(
    postgres_server: PostgresServer, postgres_url: str, engine: AsyncEngine, then: Callable[..., Any]
) -> None:
    work = SqlUnitOfWork(engine)

    async def be_terminated() -> None:
        async with work.begin() as repositories:
            await repositories.erasures.advance_epoch(ACME)
            await postgres_server.execute(TERMINATE_THE_OTHERS.format(database_in(postgres_url)))
            await then(repositories)

    with pytest.raises(Overloaded):
        await be_terminated()
    async with work.read() as repositories:
        assert await repositories.accounts.find(ACME) == an_account(ACME)  # nothing of it is kept
    await advance(work)


async def test_terminated_inside_a_transaction_that_is_rolled_back(
    postgres_server: PostgresServer, postgres_url: str, engine: AsyncEngine
) -> None:
    work = SqlUnitOfWork(engine)

    async def be_terminated_and_raise() -> None:
        async with work.begin() as repositories:
            await repositories.erasures.advance_epoch(ACME)
            await postgres_server.execute(TERMINATE_THE_OTHERS.format(database_in(postgres_url)))
            raise ZeroDivisionError

    with pytest.raises((Overloaded, ZeroDivisionError)):
        await be_terminated_and_raise()
    await advance(work)


async def test_a_database_that_went_away(postgres_server: PostgresServer, use: Callable[..., Any]) -> None:
    async with work_on(postgres_server.url("never_made")) as work:
        with pytest.raises(Overloaded):
            await use(work)


@pytest.mark.usefixtures("engine")
async def test_a_server_that_has_become_read_only(postgres_server: PostgresServer, postgres_url: str) -> None:
    await postgres_server.execute(f"ALTER DATABASE {database_in(postgres_url)} SET default_transaction_read_only = on")
    async with work_on(postgres_url) as work:
        with pytest.raises(Overloaded):
            await advance(work)
        await find_a_key(work)


@pytest.mark.usefixtures("engine")
async def test_one_connection_is_enough_for_every_use_case(postgres_url: str) -> None:
    async with work_on(postgres_url, pool_size=1, statement_seconds=int(PATIENCE_SECONDS)) as work:
        world = World(work, InMemoryObjectStore())
        person = (await world.upload(b"person", customer=a_customer(), key="k1")).image.image_id
        garment = (await world.upload(b"garment", keep_for_days=1)).image.image_id
        await world.try_on(person, (StoredSource(garment),), customer=a_customer())
        await world.try_on(person, (), customer=a_customer())
        outcome = await world.work_off()
        assert outcome is not None
        assert outcome.status is GenerationStatus.COMPLETED
        assert (await world.erase(a_customer())).images == 2
        await world.purge()
        await world.reconcile(repair=True)


class CutOff:
    """A database whose connection is lost with a commit that the server still carries out, a little later."""

    def __init__(self, work: SqlUnitOfWork, is_settling: Callable[[], bool]) -> None:
        self._work = work
        self._is_settling = is_settling
        self.late: list[asyncio.Task[None]] = []

    def read(self) -> Any:
        return self._work.read()

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[Any]:
        transaction = self._work.begin()
        repositories = await transaction.__aenter__()
        try:
            yield repositories
        except BaseException as error:
            await transaction.__aexit__(type(error), error, error.__traceback__)
            raise
        if self.late or not self._is_settling():
            await transaction.__aexit__(None, None, None)
            return

        async def commit_late() -> None:
            await asyncio.sleep(0.5)  # whoever looks meanwhile sees nothing of it
            await transaction.__aexit__(None, None, None)

        self.late.append(asyncio.create_task(commit_late()))
        raise Overloaded


@pytest.mark.usefixtures("engine")
async def test_a_try_on_whose_commit_comes_through_after_its_connection_was_lost_keeps_its_pictures(
    postgres_url: str,
) -> None:
    engine = create_engine(postgres_url, pool_size=4, statement_seconds=int(PATIENCE_SECONDS))
    settled: list[str] = []
    work: Any = CutOff(SqlUnitOfWork(engine), lambda: bool(settled))
    world = World(work, InMemoryObjectStore())
    add = SqlGenerationRepository.add

    async def noted(self: SqlGenerationRepository, generation: Generation) -> None:
        settled.append(generation.generation_id)
        await add(self, generation)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SqlGenerationRepository, "add", noted)
        started = await world.try_on(FileSource(b"person", "p"), (FileSource(b"garment", "g"),), customer=a_customer())
    assert len(work.late) == 1
    inputs = await world.inputs_of(started.generation_id)
    assert await world.bytes_of(inputs.person) is not None
    assert [await world.bytes_of(garment) for garment in inputs.garments] == [b"garment"]
    await engine.dispose()


@pytest.mark.usefixtures("engine")
async def test_two_changes_of_an_account_at_once_are_both_kept(postgres_url: str) -> None:
    async with work_on(postgres_url, statement_seconds=int(PATIENCE_SECONDS)) as work:
        change = ChangeAccount(work, MovableClock())
        await asyncio.gather(
            *(change.execute(ACME, lambda account: replace(account, is_active=False)) for _ in range(4)),
            *(change.execute(ACME, lambda account: replace(account, max_live_images=7)) for _ in range(4)),
        )
        async with work.read() as repositories:
            assert await repositories.accounts.find(ACME) == replace(an_account(), is_active=False, max_live_images=7)
