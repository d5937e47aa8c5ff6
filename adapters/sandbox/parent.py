"""A parent: without network, secrets, photos or threads, it loads libraries once and forks the processes that use them.

Run by the server as `python -m adapters.sandbox.parent <socket> <sandboxed|unsandboxed>` with the pickled `Trade` on
standard input. For each child it gets two sockets: the child's own, and a lifeline on which it reports the child's end,
and whose closing is the order to end the child. When the server's end of its own socket closes, whether the server
stopped or was killed, all children end, and the parent with them.
"""

import gc
import os
import pickle
import resource
import select
import signal
import socket
import sys
import warnings
from collections.abc import Callable
from typing import Final, Protocol

from adapters.sandbox import system
from adapters.sandbox.channel import Channel, Ended, Failed, Ready
from adapters.sandbox.confinement import SandboxUnavailable

FORK, PING = b"F", b"P"
_CHILDS_SOCKET: Final = 3  # the first number after the three standard streams
_NICE: Final = 10  # on busy cores the server, which answers everybody, comes first
_PARENTS_FILES: Final = 1024  # hundreds of children; and what a child closes one by one where no call closes all
_OPEN_FILES: Final = 64  # of a child; a detector holds about ten: its socket, /dev/null, what its threads wake up with
_LOOK_MILLISECONDS: Final = 100  # between two counts of the children's threads; a bomb makes some thousand meanwhile
_MOST_THREADS: Final = 64 + 4 * (os.cpu_count() or 1)
"""Of a child: no limit of the kernel counts them. MediaPipe has 19 on two cores, libheif one for each core."""


class Trade(Protocol):
    """What the children of one parent do; unpickling it imports all that they need."""

    def prepare(self) -> None:
        """In the parent, once: load what is loaded late, so that no child has to open a file."""
        ...

    def run(self, connection: socket.socket, *, sandboxed: bool) -> None:
        """In a child: everything, to its end."""
        ...


class Parent:
    """Makes children on command and reports how each of them ended."""

    def __init__(self, control: socket.socket, work: Callable[[socket.socket], None]) -> None:
        self._control = control
        self._work = work
        self._lifelines: dict[int, socket.socket] = {}  # by process id
        self._killed: dict[int, int | None] = {}  # the exit code to report, where it is not the true one
        self._woken, self._waker = os.pipe()
        for end in (self._woken, self._waker):
            os.set_blocking(end, False)

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
    with lifeline:
        try:
            Channel(lifeline).send(end)
        except OSError:
            return  # nobody wants to know any more


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
    try:
        Channel(control).send(Ready())
        Parent(control, lambda connection: trade.run(connection, sandboxed=sandboxed)).serve()
    except ConnectionError:
        return  # the server went away; the children leave with this process


def _load(*, sandboxed: bool) -> Trade:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the server's to handle
    os.nice(_NICE)
    system.go_first_when_memory_runs_out()  # while its file is still ours
    system.give_up_rights()
    resource.setrlimit(resource.RLIMIT_NOFILE, (_PARENTS_FILES, _PARENTS_FILES))
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
