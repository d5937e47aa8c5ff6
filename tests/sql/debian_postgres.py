"""Debian's PostgreSQL and PgBouncer, as their packages install them: with TLS, and with a pool in front.

Both refuse to run as root: they run as the user that their packages make.
"""

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from tests.free_port import free_port
from tests.patience import PATIENCE_SECONDS, wait_until
from tests.sql.certificates import Certificates

PROGRAMS = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
PGBOUNCER = Path("/usr/sbin/pgbouncer")
USER = "postgres"
PASSWORD = "p@ss word/%"  # as an operator's generator makes them
QUOTED = "p%40ss%20word%2F%25"


def as_postgres(*command: object) -> list[str]:
    change = ["setpriv", "--reuid", USER, "--regid", USER, "--clear-groups"] if os.geteuid() == 0 else []
    return [*change, *map(str, command)]


class TlsServer(NamedTuple):
    """Demands a password and TLS of whoever comes by TCP; its certificate is for `localhost`."""

    port: int
    folder: Path
    ca: Path

    def url(
        self, options: str = "", *, host: str = "localhost", user: str = f"tryon:{QUOTED}", name: str = "tryon"
    ) -> str:
        return f"postgresql+asyncpg://{user}@{host}:{self.port}/{name}{options}"

    def execute(self, *statements: str, database: str = "postgres") -> None:
        """As the superuser, over the socket."""
        for statement in statements:
            command = [PROGRAMS[-1] / "psql", "-qX", "-v", "ON_ERROR_STOP=1", "-h", self.folder, "-p", self.port]
            subprocess.run(as_postgres(*command, "-d", database, "-c", statement), check=True, capture_output=True)


@contextmanager
def tls_postgres() -> Iterator[TlsServer]:
    """A server of one's own; gone afterwards, whoever is still connected."""
    folder = Path(tempfile.mkdtemp(prefix="tryon-tls-"))
    try:
        certificates = Certificates(folder)
        port = free_port()
        _make(folder, port)
        certificates.issue("localhost", folder / "data" / "server")
        _own(folder)
        with _running(signal.SIGINT, PROGRAMS[-1] / "postgres", "-D", folder / "data"):
            server = TlsServer(port, folder, certificates.ca_file)
            _wait_until_ready(server.folder, server.port)
            server.execute(f"CREATE ROLE tryon LOGIN PASSWORD '{PASSWORD}'", "CREATE DATABASE tryon OWNER tryon")
            yield server
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def pgbouncer(server: TlsServer, pool_mode: str = "transaction") -> Iterator[int]:
    """With two connections to the server. Yields: its port."""
    port = free_port()
    settings = {
        "listen_addr": "127.0.0.1",
        "listen_port": port,
        "unix_socket_dir": server.folder,
        "auth_type": "plain",
        "auth_file": server.folder / "users.txt",
        "pool_mode": pool_mode,
        "default_pool_size": 2,
        "server_tls_sslmode": "verify-full",
        "server_tls_ca_file": server.ca,
    }
    lines = [f"{name} = {value}" for name, value in settings.items()]
    database = f"tryon = host=localhost port={server.port} dbname=tryon"
    file = server.folder / f"{pool_mode}.ini"
    (server.folder / "users.txt").write_text(f'"tryon" "{PASSWORD}"\n')
    file.write_text("\n".join(["[databases]", database, "[pgbouncer]", *lines, ""]))
    _own(server.folder)
    with _running(signal.SIGTERM, PGBOUNCER, "-q", file):
        _wait_until_ready("127.0.0.1", port)
        yield port


def _make(folder: Path, port: int) -> None:
    data = folder / "data"
    _own(folder)
    initdb = as_postgres(PROGRAMS[-1] / "initdb", "-D", data, "-A", "trust", "--no-sync", "-U", USER)
    subprocess.run(initdb, check=True, capture_output=True)
    with (data / "postgresql.conf").open("a") as settings:
        settings.write(
            f"port = {port}\nlisten_addresses = '127.0.0.1'\nunix_socket_directories = '{folder}'\n"
            "ssl = on\nssl_cert_file = 'server.crt'\nssl_key_file = 'server.key'\nfsync = off\n"
        )
    (data / "pg_hba.conf").write_text("local all postgres trust\nhostssl all all 127.0.0.1/32 scram-sha-256\n")


def _own(folder: Path) -> None:
    if os.geteuid() == 0:
        subprocess.run(["chown", "-R", f"{USER}:{USER}", folder], check=True)


def _wait_until_ready(host: object, port: int) -> None:
    command = [str(PROGRAMS[-1] / "pg_isready"), "-q", "-h", str(host), "-p", str(port)]
    wait_until(lambda: subprocess.run(command, check=False).returncode == 0, "it does not start")


@contextmanager
def _running(stop: signal.Signals, program: Path, *arguments: object) -> Iterator[None]:
    command: Sequence[str] = as_postgres(program, *arguments)
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            yield
        finally:
            process.send_signal(stop)
            process.wait(PATIENCE_SECONDS)
