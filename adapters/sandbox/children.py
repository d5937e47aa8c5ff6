"""Children of a parent: how the server has sandboxed processes made, and the parent that makes them.

A parent has no network, secrets, photos or threads; it loads libraries once and forks the processes that use them.
For each child it gets two sockets: the child's own, and a lifeline on which it reports the child's end, and whose
closing is the order to end the child. When the server's end of its own socket closes, whether the server stopped or was
killed, all children end, and the parent with them.
"""

import gc
import os
import pickle
import resource
import select
import signal
import socket
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from adapters.sandbox import system
from adapters.sandbox.channel import Channel, Ended, Failed, Forged, Ready, from_parent
from adapters.sandbox.confinement import SandboxUnavailable
from adapters.sandbox.trades import Trade

FORK, PING = b"F", b"P"
_CHILDS_SOCKET: Final = 3  # the first number after the three standard streams
_NICE: Final = 10  # on busy cores the server, which answers everybody, comes first
_PARENTS_FILES: Final = 1024  # hundreds of children; and what a child closes one by one where no call closes all
_OPEN_FILES: Final = 64  # of a child; a detector holds about ten: its socket, /dev/null, what its threads wake up with
_LOOK_MILLISECONDS: Final = 100  # between two counts of threads, of which a bomb makes some thousand meanwhile
_MOST_THREADS: Final = 64 + 4 * (os.cpu_count() or 1)
"""Of a child: no limit of the kernel counts them. MediaPipe has 19 on two cores, libheif one for each core."""

# All that a sandboxed process' environment may hold: what the loader, Python and the C library read.
_PASSED_ON: Final = ("PATH", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "LD_LIBRARY_PATH")
_ENVIRONMENT: Final = {
    "OMP_NUM_THREADS": "1",  # the processes are the parallelism
    "OPENBLAS_NUM_THREADS": "1",
    "TF_CPP_MIN_LOG_LEVEL": "2",
    "GLOG_minloglevel": "2",
    "PYTHONDONTWRITEBYTECODE": "1",
}
_GOODBYE_SECONDS: Final = 2.0  # from the order to end to the news of it; milliseconds unless swapping
_HEARTBEAT_SECONDS: Final = 5.0  # for an answer of two lines of code; longer only where nothing runs any more


class StartFailed(Exception):
    """No process can be had, and the reason, for the operator: a missing model or library, memory, the sandbox."""


class SandboxRefused(StartFailed):
    """The sandbox cannot be set up here, and running without it was not allowed."""


@dataclass(eq=False, slots=True)
class Child:
    """One sandboxed process, as the server sees it."""

    channel: Channel
    _lifeline: socket.socket
    core: int | None = None  # where it stays

    def dismiss(self) -> None:
        """End the process, whatever it is doing."""
        self.channel.close()
        self._lifeline.close()

    def end(self) -> Ended:
        """The same, and say how it ended and what it used; without an exit code when nobody knows."""
        self.channel.close()
        with self._lifeline as lifeline:
            try:
                lifeline.shutdown(socket.SHUT_WR)
                news = Channel(lifeline)
                news.patience(time.monotonic() + _GOODBYE_SECONDS)
                said = news.receive(from_parent)
            except (OSError, EOFError, Forged):  # the parent is gone or hangs: its heartbeat tells
                return Ended(None, 0)
        return said if isinstance(said, Ended) else Ended(None, 0)


@dataclass
class Children:
    """The children of one parent, which is started when it is needed and again when it has died."""

    trade: Trade
    environment: Mapping[str, str]
    sandboxed: bool
    start_seconds: float
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _process: subprocess.Popen[bytes] | None = None
    _control: socket.socket | None = None
    _is_ready: bool = False
    is_closed: bool = False

    def launch(self) -> None:
        """Let the parent begin with its imports; the first child waits for them. Raises: StartFailed."""
        with self._lock:
            self.is_closed = False
            self._launch()

    def make(self) -> Child:
        """Raises: StartFailed."""
        channel, theirs = Channel.pair()
        lifeline, reported = socket.socketpair()
        child = Child(channel, lifeline)
        with theirs, reported:
            try:
                self._ask(theirs, reported)
            except BaseException:
                child.dismiss()
                raise
        return child

    def check(self) -> None:
        """Listen to the parent's heart; without an answer it is killed, and the next `make` starts another one.

        Raises: StartFailed: a new one cannot be had either.
        """
        with self._lock:
            control = self._ready()
            try:
                control.sendall(PING)
                if control.recv(1) == PING:
                    return
            except OSError:
                pass  # it hangs or died: told apart by nobody
            self._discard()
            self._ready()

    def close(self) -> None:
        """End the parent with all its children, and wait until it is gone."""
        self.is_closed = True
        with self._lock:
            self._discard()

    def _ask(self, *ends: socket.socket) -> None:
        with self._lock:
            for is_last_try in (False, True):
                try:
                    socket.send_fds(self._ready(), [FORK], [end.fileno() for end in ends])
                    return
                except OSError as error:
                    self._discard()
                    if is_last_try:
                        raise StartFailed(f"the parent process does not answer: {error}") from error

    def _ready(self) -> socket.socket:
        if self._process is not None and self._process.poll() is not None:
            self._discard()
        control = self._launch()
        if not self._is_ready:
            self._hear(control)
            control.settimeout(_HEARTBEAT_SECONDS)
            self._is_ready = True
        return control

    def _hear(self, control: socket.socket) -> None:
        channel = Channel(control)
        channel.patience(time.monotonic() + self.start_seconds)
        try:
            said = channel.receive(from_parent)
        except (OSError, EOFError, Forged) as error:
            self._discard()
            raise StartFailed(f"a parent process did not become ready ({type(error).__name__})") from error
        if isinstance(said, Failed):
            self._discard()
            raise (SandboxRefused if said.sandbox_unavailable else StartFailed)(said.reason)

    def _launch(self) -> socket.socket:
        """Start it with nothing of ours but its socket and the way to our code."""
        if self._control is not None:
            return self._control
        if self.is_closed:
            raise StartFailed("the service is stopping")
        ours, theirs = socket.socketpair()
        environment = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
        environment |= {**_ENVIRONMENT, **self.environment}
        environment["PYTHONPATH"] = os.pathsep.join(path or str(Path.cwd()) for path in sys.path)
        wish = "sandboxed" if self.sandboxed else "unsandboxed"
        with theirs:
            try:
                self._process = subprocess.Popen(  # noqa: S603 - our own module in our own interpreter
                    [sys.executable, "-P", "-m", __name__, str(theirs.fileno()), wish],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.DEVNULL,
                    env=environment,
                    cwd="/",
                    pass_fds=[theirs.fileno()],
                    start_new_session=True,  # Ctrl-C in a terminal is for the server, which then closes the pool
                )
            except OSError as error:
                ours.close()
                raise StartFailed(str(error)) from error
        if self._process.stdin is not None:
            with suppress(BrokenPipeError), self._process.stdin as stdin:  # it says why on its socket
                stdin.write(pickle.dumps(self.trade))
        self._control, self._is_ready = ours, False
        return ours

    def _discard(self) -> None:
        if self._control is not None:
            self._control.close()
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        self._process, self._control = None, None


class Parent:
    """Makes children on command and reports how each of them ended."""

    def __init__(self, control: socket.socket, work: Callable[[socket.socket], None]) -> None:
        self._control = control
        self._work = work
        self._lifelines: dict[int, socket.socket] = {}  # by process id
        self._killed: dict[int, int | None] = {}  # the exit code to report, where it is not the true one
        self._woken, self._waker = os.pipe()
        os.set_blocking(self._waker, False)  # the reading end is read when there is something

    def serve(self) -> None:
        """Work until the server is gone."""
        signal.signal(signal.SIGCHLD, lambda *_: None)  # only a signal with a handler reaches the wakeup pipe
        signal.set_wakeup_fd(self._waker)
        while self._serve_once():
            pass
        for process_id in self._lifelines:
            os.kill(process_id, signal.SIGKILL)

    def _serve_once(self) -> bool:
        events = select.poll()
        living = self._lifelines.keys() - self._killed
        of = {self._lifelines[process_id].fileno(): process_id for process_id in living}
        for descriptor in (self._control.fileno(), self._woken, *of):
            events.register(descriptor, select.POLLIN)
        ready = [descriptor for descriptor, _ in events.poll(_LOOK_MILLISECONDS if living else None)]
        for descriptor, process_id in of.items():
            if descriptor in ready:
                self._kill(process_id, None)
            elif system.threads_of(process_id) > _MOST_THREADS:
                self._kill(process_id, -signal.SIGSYS)  # as if a filter counted them
        if self._woken in ready:
            os.read(self._woken, 4096)
        self._reap()
        return self._control.fileno() not in ready or self._obey()

    def _kill(self, process_id: int, exit_code: int | None) -> None:
        os.kill(process_id, signal.SIGKILL)
        self._killed[process_id] = exit_code

    def _obey(self) -> bool:
        """Carry out one command. False when there will be no more."""
        command, descriptors, _, _ = socket.recv_fds(self._control, 1, 2)
        if command == PING:
            self._control.sendall(PING)
        elif command == FORK:
            self._make_child(*(socket.socket(fileno=descriptor) for descriptor in descriptors))
        return command != b""

    def _make_child(self, connection: socket.socket, lifeline: socket.socket) -> None:
        parent = os.getpid()
        with connection:
            try:
                process_id = os.fork()
            except OSError:  # no memory or no process left
                _report(lifeline, Ended(None, 0))
                return
            if process_id == 0:
                self._be_a_child(connection.detach(), parent)
        self._lifelines[process_id] = lifeline

    def _be_a_child(self, connection: int, parent: int) -> None:
        exit_code = 1
        try:
            signal.set_wakeup_fd(-1)
            for number in (signal.SIGCHLD, signal.SIGTERM):
                signal.signal(number, signal.SIG_DFL)
            os.dup2(connection, _CHILDS_SOCKET)
            os.closerange(_CHILDS_SOCKET + 1, _PARENTS_FILES)  # others' sockets, too
            system.end_with_parent(parent)
            resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))  # no child writes a file
            resource.setrlimit(resource.RLIMIT_NOFILE, (_OPEN_FILES, _OPEN_FILES))
            own = socket.socket(fileno=_CHILDS_SOCKET)  # a name for it: Python asks about a socket that it collects
            self._work(own)
            exit_code = 0
        finally:
            os._exit(exit_code)  # no exit handlers: they belong to the parent

    def _reap(self) -> None:
        while self._lifelines:
            process_id, status, usage = os.wait4(-1, os.WNOHANG)
            if process_id == 0:
                return
            exit_code = self._killed.pop(process_id, None) or os.waitstatus_to_exitcode(status)
            _report(self._lifelines.pop(process_id), Ended(exit_code, usage.ru_utime + usage.ru_stime))


def _report(lifeline: socket.socket, end: Ended) -> None:
    with suppress(OSError), lifeline:  # perhaps nobody wants to know any more
        Channel(lifeline).send(end)


def main() -> None:
    """Set up the sandbox, load what children need, and serve."""
    control = socket.socket(fileno=int(sys.argv[1]))
    sandboxed = sys.argv[2] == "sandboxed"
    try:
        trade = _load(sandboxed=sandboxed)
    except Exception as error:  # whatever it is, the operator has to read it: a missing library, a missing right
        unavailable = isinstance(error, SandboxUnavailable)
        Channel(control).send(Failed(f"{type(error).__name__}: {error}", unavailable))
        return
    with suppress(ConnectionError):  # the server went away; the children leave with this process
        Channel(control).send(Ready())
        Parent(control, lambda connection: trade.run(connection, sandboxed=sandboxed)).serve()


def _load(*, sandboxed: bool) -> Trade:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the server's to handle
    os.nice(_NICE)
    system.go_first_when_memory_runs_out()  # while its file is still ours
    system.give_up_rights()
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    files = _PARENTS_FILES if most == resource.RLIM_INFINITY else min(most, _PARENTS_FILES)
    resource.setrlimit(resource.RLIMIT_NOFILE, (files, most))
    if sandboxed:
        system.refuse_network()
    trade: Trade = pickle.load(sys.stdin.buffer)  # noqa: S301 - written by the server that started us
    nothing = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):  # decoders talk on stderr, sometimes about what is in the file
        os.dup2(nothing, stream)
    os.close(nothing)
    warnings.simplefilter("ignore")  # showing one would read our source
    trade.prepare()
    if sandboxed:
        system.seal_code()
    gc.collect()
    gc.freeze()  # a collection in a child then leaves the pages that it shares with the others alone
    return trade


if __name__ == "__main__":
    main()
