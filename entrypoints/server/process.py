"""The server process: Granian around the Litestar application, the metrics of all its children, and the banner."""

import os
import pkgutil
import resource
import shlex
import shutil
import signal
import sys
import threading
import time
import urllib.error
import urllib.request
import webbrowser
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import structlog
from granian.constants import HTTPModes, Interfaces
from granian.http import HTTP1Settings
from granian.log import LogLevels
from granian.server.mp import MPServer

from entrypoints.cli import broken
from entrypoints.server.logging import configure_logging, configure_structlog, server_logging
from entrypoints.server.metrics_server import PLACES, health_socket, metrics_folder, serve_metrics
from entrypoints.wiring.environment import is_service_link, load_settings
from entrypoints.wiring.keys import key_file, new_sign_in
from entrypoints.wiring.settings import UPLOAD_PATH, Settings
from entrypoints.wiring.surroundings import DRAIN_SIGNAL, end_with_parent, give_up_rights

if TYPE_CHECKING:
    from litestar import Litestar

log = structlog.get_logger()

TRIES: Final = 3
"""Server processes that may end in a row before one is ready."""
BACKLOG: Final = 2048
"""Connections that the kernel has taken and nobody has accepted yet."""
OTHER_FILES: Final = 1024
SHUTDOWN_SECONDS: Final = 25
"""What an upload in flight may still take after the drain; together Kubernetes' default grace period of 30 s."""


class Supervisor(MPServer):
    """Granian, but after SIGTERM it first lets readiness fail, and goes on serving for a while."""

    seconds_to_drain = 0
    tries_left = TRIES
    folder = Path()
    """Where a server process that is ready has a socket."""

    def is_ready(self, process: int) -> bool:
        return health_socket(self.folder, process).exists()

    def interrupt(self) -> None:
        """What Granian itself does when it is told to stop."""
        self.interrupt_signal = True
        self.main_loop_interrupt.set()

    def signal_handler_interrupt(self, *args: Any, **_: Any) -> None:
        is_term = args[:1] == (signal.SIGTERM,)
        ready = [worker.inner.pid for worker in self.wrks if self.is_ready(worker.inner.pid)]
        if not is_term or not self.seconds_to_drain or not ready:
            self.interrupt()
            return
        seconds, self.seconds_to_drain = self.seconds_to_drain, 0  # a second SIGTERM means it
        for process in ready:
            with suppress(ProcessLookupError):
                os.kill(process, DRAIN_SIGNAL)
        stop = threading.Timer(seconds, self.interrupt)
        stop.daemon = True
        stop.start()

    def _respawn_workers(self, workers: list[int], *arguments: Any, **named: Any) -> None:
        """Another server process for each that has ended, unless too many in a row ended before they were ready."""
        is_first_ready = any(self.is_ready(self.wrks[index].inner.pid) for index in workers)
        self.tries_left = TRIES if is_first_ready else self.tries_left - 1
        if self.tries_left > 0:
            super()._respawn_workers(workers, *arguments, **named)
            return
        log.critical("start_failed", reason=f"{TRIES} server processes in a row ended before they were ready")
        self.interrupt_children.extend(workers)  # the exit code says so, too
        self.interrupt()


OPEN: Final = "--open"
APPLICATION: Final = f"{__name__}:from_environment"


def main(application: str = APPLICATION) -> None:
    """Serve until told to stop. On SIGTERM uploads in flight are finished, new connections refused.

    Args: application: `module:function`, called in each server process.
    """
    settings = load_settings(os.environ)
    configure_logging(settings.log_level)
    announce_when_ready(settings, open_page=OPEN in sys.argv)
    give_up_rights(settings, is_master=True)
    if links := [name for name, text in os.environ.items() if is_service_link(name, text)]:
        log.info("service_links_ignored", variables=len(links))
    raise_file_limit(settings.max_connections)
    with metrics_folder(*PLACES, settings.data_dir.absolute()) as folder:
        if settings.metrics_port is not None:
            serve_metrics(settings.metrics_host, settings.metrics_port, folder)
        os.register_at_fork(after_in_child=_end_at_once)  # until Granian listens: its own handlers are inherited
        _supervisor(settings, application, folder).serve(target_loader=partial(_load, os.getpid()))


def _load(master: int, application: str) -> Any:
    """In a server process: the application. Not by Granian's own loader, which imports from the working directory."""
    end_with_parent(master)
    give_up_rights(load_settings(os.environ), is_master=False)
    try:
        return _in_one_sentence(pkgutil.resolve_name(application)())
    except ImportError as error:
        log.critical("start_failed", reason=broken(str(error)))
        raise SystemExit(1) from None


def from_environment() -> "Litestar":
    """The application, in each server process. Raises: OSError: no process or descriptor left.

    The photo workers' libraries and the application's take a second or two each, so both load at once: the former in
    the fork server, which is started before anything else is imported here.
    """
    from entrypoints.wiring.photo_processing import build_processor  # noqa: PLC0415 - the supervisor needs none of it

    settings = load_settings(os.environ)
    photo_workers = build_processor(settings)
    photo_workers.launch()

    from entrypoints.http.app import create_app  # noqa: PLC0415
    from entrypoints.wiring.container import Container  # noqa: PLC0415

    configure_structlog(settings.log_level)
    return create_app(Container(settings=settings, photo_workers=photo_workers))


def _end_at_once() -> list[tuple[int, Any]]:
    """Until it is ready a server process has nothing to finish. Returns: the handlers that there were before."""
    wanted = ((signal.SIGTERM, signal.SIG_DFL), (signal.SIGINT, signal.SIG_IGN))  # Ctrl-C is for the supervisor
    return [(number, signal.signal(number, how)) for number, how in wanted]


@contextmanager
def _ending_at_once() -> Iterator[None]:
    before = _end_at_once()
    try:
        yield
    finally:
        for number, handler in before:
            signal.signal(number, handler)


def _in_one_sentence(application: Any) -> Any:
    """Tells why a start failed (a broken installation, a model that is gone) where the framework tells a traceback; a
    start that takes long can be stopped.
    """

    async def told(scope: Any, receive: Any, send: Any) -> None:
        async def tell(message: dict[str, Any]) -> None:
            if message["type"] == "lifespan.startup.complete":
                starting.close()
            if message["type"] == "lifespan.startup.failed":
                lines = [line.strip(" |+-") for line in message["message"].splitlines()]
                reason = next((line for line in reversed(lines) if line), "unknown").rpartition("StartFailed: ")[2]
                message = {**message, "message": f"The service cannot start: {reason}"}
            await send(message)

        if scope["type"] != "lifespan":
            await application(scope, receive, send)
            return
        with ExitStack() as starting:
            starting.enter_context(_ending_at_once())
            await application(scope, receive, tell)

    return told


def raise_file_limit(connections: int) -> None:
    """A descriptor for each connection, and some for everything else, as far as this process may."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = connections + OTHER_FILES
    limit = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if limit > soft != resource.RLIM_INFINITY:
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))


def _supervisor(settings: Settings, application: str, folder: Path) -> Supervisor:
    signal.signal(DRAIN_SIGNAL, signal.SIG_IGN)  # inherited: a child that does not listen yet must not die of it
    supervisor = Supervisor(
        application,
        interface=Interfaces.ASGI,
        address=settings.host,
        port=settings.port,
        workers=settings.server_processes,
        # What stands in front speaks HTTP/1.1, and only there is the time for a request's headers limited.
        http=HTTPModes.http1,
        http1_settings=HTTP1Settings(header_read_timeout=1000 * settings.head_seconds),
        websockets=False,
        log_access=False,
        log_level=LogLevels.warning,
        log_dictconfig=server_logging(settings.log_level),
        respawn_failed_workers=True,
        workers_kill_timeout=SHUTDOWN_SECONDS,
        backlog=BACKLOG,
        backpressure=settings.share(settings.max_connections),
    )
    supervisor.seconds_to_drain, supervisor.folder = settings.seconds_to_drain, folder
    return supervisor


PATIENCE_SECONDS: Final = 120
POLL_SECONDS: Final = 0.1
MOST_FILES: Final = 256  # this early a server has opened about ten
PROGRAM: Final = "tryon-images"
EXAMPLE: Final = Path(__file__).parents[2] / "examples" / "portrait.jpg"


def announce_when_ready(settings: Settings, *, open_page: bool) -> None:
    """Print the banner to standard output, and open the page if wanted, as soon as the port answers.

    A process of its own does that, with init as its parent: while Granian forks, a thread that imports something would
    leave its locks behind in the child.
    """
    server = os.getpid()
    if child := os.fork():
        os.waitpid(child, 0)
        return
    try:
        if os.fork() == 0:
            os.closerange(3, MOST_FILES)  # what the server holds: its end must be seen by others
            _announce(settings, server, open_page)
    finally:
        os._exit(0)


def _announce(settings: Settings, server: int, open_page: bool) -> None:
    if not _answers(f"{settings.own_url}/health/live", server):
        return
    page = f"{settings.base_url}/#sign-in={new_sign_in(settings)}" if _signs_in(settings) else settings.base_url
    print(banner(settings, page), flush=True)  # noqa: T201 - for the person at the terminal; the log has its own stream
    if open_page and settings.shows_playground:
        webbrowser.open(page)


def banner(settings: Settings, page: str) -> str:
    """What a newcomer needs next on a machine of one's own; a line elsewhere."""
    if not settings.is_local:
        return f"tryon-images is ready on {settings.own_url} (stop with Ctrl-C)"
    key = key_file(settings)
    lines = [
        ("Page", f"{page}  (signs in once)" if settings.shows_playground else None),
        ("Reference", f"{settings.base_url}/docs"),
        ("API key", str(key) if key.exists() else None),
        ("New key", f"{_command()} keys create --account default --name NAME"),
        ("Try it", _curl(settings, key) if key.exists() and EXAMPLE.exists() else None),
    ]
    told = "\n".join(f"  {name:<10} {text}" for name, text in lines if text)
    return f"\ntryon-images is ready (stop with Ctrl-C)\n\n{told}\n"


def _curl(settings: Settings, key: Path) -> str:
    photo = shlex.quote(f"file=@{EXAMPLE}")
    return f'curl -H "x-api-key: $(cat {shlex.quote(str(key))})" -F {photo} {settings.base_url}{UPLOAD_PATH}'


def _command() -> str:
    """This program, so that it can be copied: by its name only where a shell would find this very one."""
    ours = Path(sys.executable).with_name(PROGRAM)
    if shutil.which(PROGRAM) == str(ours):
        return PROGRAM
    return shlex.quote(str(ours))


def _signs_in(settings: Settings) -> bool:
    return settings.shows_playground and settings.is_local


def _answers(url: str, server: int) -> bool:
    """Whether it does before the server is gone or patience ends."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # no proxy of the environment
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline and _lives(server):
        try:
            with opener.open(url, timeout=2):
                return True
        except OSError:
            time.sleep(POLL_SECONDS)
    return False


def _lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


if __name__ == "__main__":
    main()
