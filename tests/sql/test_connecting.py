"""Other people's PostgreSQL: TLS, pools, several hosts, and one line of cause and cure for each way that it fails."""

import asyncio
import gc
import socket
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from sqlalchemy import text

from adapters.sql.migrate import Migrator
from adapters.sql.schema import metadata
from adapters.sql.unit_of_work import SqlRateLimiter, SqlUnitOfWork, create_engine
from adapters.system import SystemClock
from application.ports.system import RateBucket
from domain.account import AccountId, RateLimit
from entrypoints.cli.main import main
from tests.builders import ACME
from tests.contracts.test_adapters import with_accounts
from tests.contracts.unit_of_work import UnitOfWorkContract
from tests.free_port import free_port
from tests.sql.certificates import Certificates
from tests.sql.debian_postgres import PASSWORD, QUOTED, TlsServer, pgbouncer, tls_postgres

TABLES = ", ".join(table.name for table in metadata.sorted_tables)
pytestmark = pytest.mark.xdist_group("debian-postgres")


@pytest.fixture(scope="module")
def server() -> Iterator[TlsServer]:
    with tls_postgres() as running:
        yield running


async def tls_version(url: str) -> str | None:
    engine = create_engine(url)
    try:
        async with engine.connect() as connection:
            asked = await connection.execute(text("SELECT version FROM pg_stat_ssl WHERE pid = pg_backend_pid()"))
            return str(asked.scalar_one())
    finally:
        await engine.dispose()


@pytest.mark.parametrize("options", ["", "?sslmode=require", "?ssl=require", "?sslmode=verify-full&sslrootcert={ca}"])
async def test_tls_is_spoken_as_the_url_says(server: TlsServer, options: str) -> None:
    assert await tls_version(server.url(options.format(ca=server.ca))) == "TLSv1.3"


async def test_of_several_hosts_the_one_that_answers_is_taken(server: TlsServer) -> None:
    url = server.url("?sslmode=require&target_session_attrs=read-write", host=f"localhost:{free_port()},localhost")
    assert await tls_version(url) == "TLSv1.3"


def upgrade(url: str) -> Result:
    return CliRunner().invoke(main, ["db", "upgrade"], env={"TRYON_DATABASE_URL": url, "TRYON_PSEUDONYM_KEY": "p" * 32})


def one_line(done: Result) -> str:
    """What was said, which has to be one line on standard error, without a secret or a traceback."""
    assert done.exit_code == 3, done.output
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1, done.stderr
    for secret in (PASSWORD, QUOTED, "geheim", "tryon:"):
        assert secret not in done.stderr
    return done.stderr.removeprefix("Error: ").strip()


WRONG = {
    "a wrong password": ({"user": "tryon:geheim"}, "The database refuses the password."),
    "an unknown user": ({"user": "nobody:geheim"}, "The database refuses the password."),
    "no such database": ({"name": "absent"}, "The server has no database of that name."),
    "no such host": ({"host": "no-such-host.invalid"}, "The host in TRYON_DATABASE_URL is not known to DNS."),
    "no TLS where it is demanded": ({"options": "?sslmode=disable"}, "The database refuses the login:"),
    "a CA that nobody knows": (
        {"options": "?sslmode=verify-full&sslrootcert={other_ca}"},
        "The database's certificate is not trusted (",
    ),
    "a certificate for another host": (
        {"host": "127.0.0.1", "options": "?sslmode=verify-full&sslrootcert={ca}"},
        "The database's certificate is not trusted (",
    ),
    "no CA file": (
        {"options": "?sslmode=verify-full&sslrootcert=/absent.pem"},
        "TRYON_DATABASE_URL cannot be used: sslrootcert",
    ),
    "an unknown mode": (
        {"options": "?sslmode=maybe"},
        "TRYON_DATABASE_URL cannot be used: `sslmode` parameter must be",
    ),
    "an unquoted password": ({"user": "tryon:ge/heim"}, "TRYON_DATABASE_URL cannot be used: a port is not a number."),
    "an unknown option": ({"options": "?sslmode=require&colour=red"}, "The database refuses an option"),
}


@pytest.mark.parametrize(("parts", "said"), WRONG.values(), ids=WRONG)
def test_each_way_to_be_wrong_is_one_line(server: TlsServer, tmp_path: Path, parts: dict[str, str], said: str) -> None:
    other_ca = Certificates(tmp_path).ca_file
    url = server.url(**{name: value.format(ca=server.ca, other_ca=other_ca) for name, value in parts.items()})
    assert one_line(upgrade(url)).startswith(said)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # the driver leaves the socket behind
def test_nobody_and_somebody_silent_at_the_address_are_told_apart(server: TlsServer) -> None:
    nobody = server.url().replace(f":{server.port}/", f":{free_port()}/")
    assert one_line(upgrade(nobody)).startswith("Nobody answers at the address")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        said = one_line(
            upgrade(server.url(host="127.0.0.1").replace(f":{server.port}/", f":{silent.getsockname()[1]}/"))
        )
    assert said.startswith("The database does not answer in time")
    gc.collect()  # while the warning is ignored


def test_a_server_without_tls_is_told_apart(server: TlsServer) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def say_no() -> None:
            client, _ = listening.accept()
            with client:
                client.recv(8)  # SSLRequest
                client.sendall(b"N")

        answering = threading.Thread(target=say_no)
        answering.start()
        port = listening.getsockname()[1]
        said = one_line(
            upgrade(server.url("?sslmode=require", host="127.0.0.1").replace(f":{server.port}/", f":{port}/"))
        )
        answering.join()
    assert said.startswith("The database does not speak TLS.")


def run(url: str, *arguments: str) -> Result:
    return CliRunner().invoke(main, arguments, env={"TRYON_DATABASE_URL": url, "TRYON_PSEUDONYM_KEY": "p" * 32})


@pytest.fixture
def empty(server: TlsServer) -> Iterator[str]:
    """The name of a database without a schema."""
    server.execute("CREATE DATABASE empty OWNER tryon", "CREATE ROLE guest LOGIN PASSWORD 'geheim'")
    yield "empty"
    server.execute("DROP DATABASE empty WITH (FORCE)", "DROP ROLE guest")


def test_from_an_empty_database_to_a_role_that_may_serve_and_no_more(server: TlsServer, empty: str) -> None:
    owner, guest = server.url(name=empty), server.url(name=empty, user="guest:geheim")
    for command in (["accounts", "list"], ["purge"]):
        assert one_line(run(owner, *command)) == "The database has no tables, or old ones. Run: tryon-images db upgrade"
    assert run(owner, "db", "upgrade").exit_code == 0
    assert one_line(run(guest, "accounts", "list")).startswith("The database role lacks rights.")
    assert one_line(run(guest, "db", "upgrade")).startswith("The database role lacks rights.")
    grants = run(owner, "db", "upgrade", "--print-grants=guest")
    server.execute(*grants.stdout.splitlines(), database=empty)
    assert run(guest, "accounts", "create", "acme").exit_code == 0
    assert run(guest, "purge").exit_code == 0
    done = run(guest, "db", "upgrade")
    assert done.exit_code == 0, "there is nothing to do, which needs no right"


def test_a_role_name_that_would_end_the_statement_is_refused() -> None:
    done = CliRunner().invoke(main, ["db", "upgrade", '--print-grants=x"; DROP TABLE images; --'])
    assert done.exit_code == 2
    assert "GRANT" not in done.stdout


@pytest.fixture(scope="module")
def pool_port(server: TlsServer) -> Iterator[int]:
    with pgbouncer(server) as port:
        yield port


def behind(port: int, server: TlsServer, options: str, **parts: str) -> str:
    return server.url(options, host="127.0.0.1", **parts).replace(f":{server.port}/", f":{port}/")


@pytest.fixture(scope="module")
def pooled_url(server: TlsServer, pool_port: int) -> str:
    return behind(pool_port, server, "?pool_mode=transaction")


WRONG_BEHIND_A_POOL = {
    "a wrong password": ("?pool_mode=transaction", {"user": "tryon:geheim"}, "The database refuses the password."),
    "no such database": ("?pool_mode=transaction", {"name": "absent"}, "The server has no database of that name."),
    "no mode": ("", {}, "A PgBouncer is in front of the database. Name its mode in TRYON_DATABASE_URL"),
    "no such mode": ("?pool_mode=sesion", {}, "TRYON_DATABASE_URL cannot be used: pool_mode is session or transaction"),
}


@pytest.mark.parametrize(("options", "parts", "said"), WRONG_BEHIND_A_POOL.values(), ids=WRONG_BEHIND_A_POOL)
def test_each_way_to_be_wrong_behind_a_pool_is_one_line_too(
    server: TlsServer, pool_port: int, options: str, parts: dict[str, str], said: str
) -> None:
    assert one_line(upgrade(behind(pool_port, server, options, **parts))).startswith(said)


async def test_behind_a_pool_of_sessions_each_has_its_limits(server: TlsServer) -> None:
    with pgbouncer(server, "session") as port:
        engine = create_engine(behind(port, server, "?pool_mode=session"), statement_seconds=7)
        async with engine.connect() as connection:
            assert (await connection.execute(text("SHOW statement_timeout"))).scalar_one() == "7s"
        await engine.dispose()


class TestSqlUnitOfWorkBehindPgBouncer(UnitOfWorkContract):
    """In transaction mode each transaction may have another connection of the server."""

    @pytest.fixture
    async def work(self, pooled_url: str, server: TlsServer) -> AsyncIterator[SqlUnitOfWork]:
        engine = create_engine(pooled_url)
        await Migrator(engine).upgrade()
        engine = create_engine(pooled_url)
        yield await with_accounts(engine)
        await engine.dispose()
        await asyncio.to_thread(server.execute, f"TRUNCATE {TABLES} CASCADE", database="tryon")

    async def test_no_statement_meets_a_connection_that_does_not_know_it(
        self, work: SqlUnitOfWork, pooled_url: str
    ) -> None:
        """More clients than there are connections of the server, reads and writes mixed."""
        engine = create_engine(pooled_url, pool_size=8)
        many, limiter = SqlUnitOfWork(engine), SqlRateLimiter(engine, SystemClock())

        async def ask(number: int) -> None:
            async with many.read() as repositories:
                assert await repositories.accounts.find(AccountId(f"acc_{number}")) is None
            assert (await limiter.take(ACME, RateBucket.REQUESTS, RateLimit(1000))).is_granted
            await many.check()

        await asyncio.gather(*map(ask, range(100)))
        await engine.dispose()
