"""The server's side of a parent: starting it, asking it for children, hearing how they ended, and whether it lives."""

import os
import pickle
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from adapters.sandbox.channel import Channel, Ended, Failed, Forged, from_parent
from adapters.sandbox.parent import FORK, PING, Trade

# All that a sandboxed process' environment may hold: no key, no database, no bucket. Names that the loader, Python, the
# C library and matplotlib (which MediaPipe imports) read.
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
    _is_closed: bool = False

    @property
    def is_closed(self) -> bool:
        return self._is_closed

    def launch(self) -> None:
        """Let the parent begin with its imports; the first child waits for them. Raises: StartFailed."""
        with self._lock:
            self._is_closed = False
            self._launch()

    def make(self) -> Child:
        """Raises: StartFailed."""
        channel, theirs = Channel.pair()
        lifeline, reported = socket.socketpair()
        with theirs, reported:
            try:
                self._ask(theirs, reported)
            except BaseException:
                channel.close()
                lifeline.close()
                raise
        return Child(channel, lifeline)

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
        self._is_closed = True
        with self._lock:
            self._discard()

    def _ask(self, *ends: socket.socket) -> None:
        with self._lock:
            try:
                socket.send_fds(self._ready(), [FORK], [end.fileno() for end in ends])
            except OSError:
                self._discard()
                try:
                    socket.send_fds(self._ready(), [FORK], [end.fileno() for end in ends])
                except OSError as error:
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
        if self._is_closed:
            raise StartFailed("the service is stopping")
        ours, theirs = socket.socketpair()
        environment = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
        environment |= {**_ENVIRONMENT, **self.environment}
        environment["PYTHONPATH"] = os.pathsep.join(path or str(Path.cwd()) for path in sys.path)
        wish = "sandboxed" if self.sandboxed else "unsandboxed"
        with theirs:
            try:
                self._process = subprocess.Popen(  # noqa: S603 - our own module in our own interpreter
                    [sys.executable, "-P", "-m", "adapters.sandbox.parent", str(theirs.fileno()), wish],
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
            try:
                with self._process.stdin as stdin:
                    stdin.write(pickle.dumps(self.trade))
            except BrokenPipeError:
                pass  # it says why on its socket
        self._control, self._is_ready = ours, False
        return ours

    def _discard(self) -> None:
        if self._control is not None:
            self._control.close()
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        self._process, self._control = None, None
