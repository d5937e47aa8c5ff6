"""Surroundings of a process: folders of our own, a free port, no right that is not needed, and word of the end."""

import asyncio
import errno
import fcntl
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator, MutableMapping
from pathlib import Path
from typing import Final
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from adapters.sandbox import system
from entrypoints.server.metrics_server import PLACES
from entrypoints.server.metrics_server import PREFIX as METRICS
from entrypoints.wiring.environment import FROM_FILE, PREFIX, SECRET_FILES, ConfigurationError, Problem
from entrypoints.wiring.settings import SQLITE, Settings, in_url_path

FIRST_FREE_PORT: Final = 1024
"""Those below need a right of their own (ip(7), `ip_unprivileged_port_start`)."""
PATHS: Final = (
    "CLOUDSDK_CONFIG",
    "CURL_CA_BUNDLE",
    "GOOGLE_APPLICATION_CREDENTIALS",
    "MPLCONFIGDIR",
    "OTEL_EXPORTER_OTLP_CERTIFICATE",
    "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE",
    "OTEL_EXPORTER_OTLP_CLIENT_KEY",
    "OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE",
    "OTEL_EXPORTER_OTLP_TRACES_CLIENT_CERTIFICATE",
    "OTEL_EXPORTER_OTLP_TRACES_CLIENT_KEY",
    "PGPASSFILE",
    "PGSERVICEFILE",
    "PGSSLCERT",
    "PGSSLCRL",
    "PGSSLKEY",
    "PGSSLROOTCERT",
    "REQUESTS_CA_BUNDLE",
    "SSL_CERT_DIR",
    "SSL_CERT_FILE",
    "TMPDIR",
)
"""Variables that our libraries read as paths."""
DATABASE_URL: Final = f"{PREFIX}DATABASE_URL"
DATABASE_FILES: Final = ("passfile", "sslcert", "sslcrl", "sslkey", "sslrootcert")
"""Options of PostgreSQL's URLs that are paths."""
_LOCK_SECONDS: Final = 3.0
DRAIN_SIGNAL: Final = signal.SIGUSR1
"""From the supervisor to each server process: begin to drain."""
PRIVATE: Final = 0o700
"""What is kept is nobody else's business, whatever the umask says."""


def folders_of(settings: Settings) -> dict[str, Path]:
    """Local folders that are written to, by the setting that names them."""
    folders = {}
    if not settings.database_url or (settings.serves_previews and not settings.signing_key):
        folders["TRYON_DATA_DIR"] = settings.data_dir
    if settings.keeps_files:
        folders.setdefault("TRYON_STORAGE_URL" if settings.storage_url else "TRYON_DATA_DIR", settings.storage_folder)
    return {variable: folder.absolute() for variable, folder in folders.items()}


def raw_places(settings: Settings) -> Iterator[Path]:
    """Where this machine keeps anything for the service: folders, a database outside them with its log, and metrics (of
    another user's service they are none of ours).
    """
    yield settings.data_dir
    if settings.keeps_files:
        yield settings.storage_folder
    if database := settings.database_file:
        yield from database.parent.glob(f"{database.name}*")
    for place in PLACES:
        yield from (folder for folder in place.glob(f"{METRICS}*") if os.access(folder, os.R_OK))


def leave_folder(settings: Settings, environ: MutableMapping[str, str]) -> None:
    """Go to `/`, where nobody puts anything for us to find; relative paths go on to mean what they mean here."""
    for name in {*PATHS, *SECRET_FILES} & environ.keys():
        if environ[name].strip():
            environ[name] = str(Path(environ[name].strip()).expanduser().absolute())
    if "PYTHONPATH" in environ:
        environ["PYTHONPATH"] = os.pathsep.join(map(os.path.abspath, environ["PYTHONPATH"].split(os.pathsep)))
    environ["TRYON_DATA_DIR"] = str(settings.data_dir.absolute())
    environ["TRYON_MODEL_DIR"] = str(settings.model_dir.expanduser().absolute())
    given = settings.database_url
    if given and (url := _with_absolute_files(settings, given)) != given:
        environ.pop(f"{DATABASE_URL}{FROM_FILE}", None)  # it holds what means something else in `/`
        environ[DATABASE_URL] = url
    os.chdir("/")


def _with_absolute_files(settings: Settings, database_url: str) -> str:
    """The same URL: SQLite's file, and files of certificates and passwords that PostgreSQL's names, from `/` on."""
    if settings.database_file:
        _, mark, query = database_url.partition("?")
        return f"{SQLITE}{in_url_path(settings.database_file)}{mark}{query}"
    parts = urlsplit(database_url)
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    files = {name: str(Path(options[name]).absolute()) for name in DATABASE_FILES if options.get(name)}
    if files.items() <= options.items():
        return database_url
    options |= files
    return urlunsplit(parts._replace(query=urlencode(options, safe="/,:")))


def prepare_folders(settings: Settings) -> None:
    """Make the data folder if it is not there yet, for this user only. Raises: ConfigurationError."""
    problems = []
    for variable, folder in folders_of(settings).items():
        if reason := _why_not_writable(folder):
            takes = f"a folder that user {os.geteuid()} may write to ({reason})"
            problems.append(Problem(variable, str(folder), takes))
    if problems:
        raise ConfigurationError(problems)


def _why_not_writable(folder: Path) -> str | None:
    try:
        for part in reversed([folder, *folder.parents]):
            part.mkdir(mode=PRIVATE, exist_ok=True)
    except OSError as error:
        return error.strerror
    return None if os.access(folder, os.W_OK | os.X_OK) else os.strerror(errno.EACCES)


def hold_data_folder(settings: Settings) -> None:
    """Lock the folders of a service with SQLite for this process and all that it becomes; keep others from reading it.

    Raises: ConfigurationError: another service has one of them; the text says which. Or it cannot be written to.
    """
    database = settings.database_file
    if database is None:
        return
    _hold(database.parent, "TRYON_DATABASE_URL" if settings.database_url else "TRYON_DATA_DIR", settings.port)
    data = settings.data_dir.absolute()  # keys, the clock and perhaps objects are there, wherever the database is
    if os.access(data, os.W_OK) and not data.samefile(database.parent):
        _hold(data, "TRYON_DATA_DIR", settings.port)
    for path in (*database.parent.glob(f"{database.name}*"), settings.storage_folder):
        if path.exists() and path.stat().st_uid == os.geteuid():
            path.chmod(path.stat().st_mode & PRIVATE)  # made by a version that left them open to all


def _hold(folder: Path, variable: str, port: int) -> None:
    try:
        descriptor = os.open(folder / "serve.lock", os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        takes = f"a file in a folder that user {os.geteuid()} may write to ({error.strerror})"
        raise ConfigurationError([Problem(variable, str(folder), takes)]) from None
    if not _is_locked(descriptor):
        holder = os.read(descriptor, 100).decode("ascii", "replace")
        raise ConfigurationError([Problem(variable, str(folder), f"a folder of its own: {holder} serves this one")])
    os.set_inheritable(descriptor, True)  # it lasts as long as the server processes do
    os.ftruncate(descriptor, 0)
    os.write(descriptor, f"process {os.getpid()} on port {port}".encode())


def _is_locked(descriptor: int) -> bool:
    """Processes of a service that was killed need a moment to end."""
    until = time.monotonic() + _LOCK_SECONDS
    while time.monotonic() < until:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(0.1)
        else:
            return True
    return False


def give_up_rights(settings: Settings, *, is_master: bool) -> None:
    """Nobody reads this process' memory, it leaves no core, and as root it keeps at most the right to open its port."""
    opens_low_port = is_master and settings.port < FIRST_FREE_PORT
    system.give_up_rights((system.BIND_LOW_PORTS,) if opens_low_port else ())


def end_with_parent(parent: int) -> None:
    """Be killed when the process of this number, our parent, ends."""
    system.end_with_parent(parent)


def expect_free_port(settings: Settings) -> None:
    """Raises: ConfigurationError: another process listens there, the address is not of this machine, or is reserved."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((settings.host, settings.port))
    except OSError as error:
        if error.errno == errno.EADDRNOTAVAIL:
            problem = Problem("TRYON_HOST", settings.host, "an address of this machine")
        elif error.errno == errno.EADDRINUSE:
            problem = _taken_port(settings)
        else:
            problem = Problem("TRYON_PORT", str(settings.port), f"a port that this user may open ({error.strerror})")
        raise ConfigurationError([problem]) from None


def hold_port(settings: Settings) -> None:
    """For this process and all that it becomes. Granian opens a port so that others can, too: of two services that
    start at the same moment both find it free. Raises: ConfigurationError.
    """
    if not system.hold_name(f"tryon-images {settings.host}:{settings.port}"):
        raise ConfigurationError([_taken_port(settings)])


def _taken_port(settings: Settings) -> Problem:
    takes = f"a free port: another process listens on it (TRYON_PORT={settings.port + 1} make serve)"
    return Problem("TRYON_PORT", str(settings.port), takes)


class Draining:
    """The time between SIGTERM and the end: requests are answered, but load balancers are told to send no more."""

    def __init__(self) -> None:
        self.reasons: frozenset[str] = frozenset()
        """Why the server is not ready, in the words of `/health/ready`."""

    def begin(self) -> None:
        self.reasons = frozenset({"draining"})

    def listen(self) -> None:
        """Begin when the supervisor says so. Only a main thread can hear it."""
        if threading.current_thread() is threading.main_thread():
            asyncio.get_running_loop().add_signal_handler(DRAIN_SIGNAL, self.begin)
