"""The fork server: without network, secrets or threads, it imports the heavy libraries once and makes workers.

Run by the server as `python -m adapters.sandbox.fork_server <socket> <sandboxed|unsandboxed>` with the pickled
`Workplace` on standard input. It never sees a photo. When the server's end of the socket closes, whether the server
stopped or was killed, it kills every worker and ends.
"""

import ctypes
import gc
import os
import pickle
import resource
import select
import signal
import socket
import sys
from contextlib import suppress
from pathlib import Path
from typing import Final

from adapters.sandbox import syscall_filter
from adapters.sandbox.messages import ANY_CORE, COMMAND, FORK, Ended, Failed, Ready, Started, framed
from adapters.sandbox.worker import Workplace, run

_PR_SET_DUMPABLE: Final = 4
_OUT_OF_MEMORY_SCORE: Final = "500"  # as if each took half of the memory more; from -1000 to 1000, see proc(5)


class ForkServer:
    """Makes workers on command and reports how each of them ended."""

    def __init__(self, control: socket.socket, workplace: Workplace, *, sandboxed: bool) -> None:
        self._control = control
        self._workplace = workplace
        self._sandboxed = sandboxed
        self._workers: dict[int, int] = {}  # process id -> the server's number of the worker
        self._woken, self._waker = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)

    def serve(self) -> None:
        """Work until the server is gone."""
        signal.signal(signal.SIGCHLD, lambda *_: None)  # only a signal with a handler reaches the wakeup pipe
        signal.set_wakeup_fd(self._waker)
        events = select.poll()
        events.register(self._control, select.POLLIN)
        events.register(self._woken, select.POLLIN)
        serving = True
        while serving:
            ready = [descriptor for descriptor, _ in events.poll()]
            if self._woken in ready:
                self._bury_the_dead()
            if self._control.fileno() in ready:
                serving = self._obey()
        for process_id in self._workers:
            os.kill(process_id, signal.SIGKILL)

    def _obey(self) -> bool:
        """Carry out one command. False when there will be no more."""
        command, descriptors, _, _ = socket.recv_fds(self._control, COMMAND.size, 1)
        if len(command) < COMMAND.size:
            return False
        action, worker, core = COMMAND.unpack(command)
        if action == FORK:
            self._make_worker(worker, core, socket.socket(fileno=descriptors[0]))
        else:
            for process_id, number in self._workers.items():
                if number == worker:
                    os.kill(process_id, signal.SIGKILL)
        return True

    def _make_worker(self, worker: int, core: int, connection: socket.socket) -> None:
        parent = os.getpid()
        with connection:
            try:
                process_id = os.fork()
            except OSError as error:  # no memory or no process left
                self._control.sendall(framed(Ended(worker, error.errno or 1)))
                return
            if process_id == 0:
                self._be_a_worker(connection, core, parent)
        self._workers[process_id] = worker
        self._control.sendall(framed(Started(worker, process_id)))

    def _be_a_worker(self, connection: socket.socket, core: int, parent: int) -> None:
        exit_code = 1
        try:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            self._control.close()
            os.close(self._woken)
            os.close(self._waker)
            _stay_on(core)
            run(connection, self._workplace, sandboxed=self._sandboxed, fork_server=parent)
            exit_code = 0
        finally:
            os._exit(exit_code)  # no exit handlers: they belong to the fork server

    def _bury_the_dead(self) -> None:
        os.read(self._woken, 4096)
        while self._workers:
            process_id, status = os.waitpid(-1, os.WNOHANG)
            if process_id == 0:
                return
            worker = self._workers.pop(process_id)
            self._control.sendall(framed(Ended(worker, os.waitstatus_to_exitcode(status))))


def _stay_on(core: int) -> None:
    """Before there are threads: MediaPipe's take turns with ours, and find in the caches what the last one left."""
    if core != ANY_CORE:
        with suppress(OSError):  # the core was taken from this process meanwhile; any other will do
            os.sched_setaffinity(0, {core})


def main() -> None:
    """Set up the sandbox, import what workers need, and serve."""
    control = socket.socket(fileno=int(sys.argv[1]))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    try:
        sandboxed = _sandbox(required=sys.argv[2] == "sandboxed")
        # Imports the decoder and the detector, behind the filter.
        workplace: Workplace = pickle.load(sys.stdin.buffer)  # noqa: S301 - written by the server that started us
    except Exception as error:  # whatever it is, the operator has to read it: a missing library, a missing right
        unavailable = isinstance(error, syscall_filter.SandboxUnavailable)
        control.sendall(framed(Failed(f"{type(error).__name__}: {error}", unavailable)))
        return
    gc.collect()
    gc.freeze()  # a collection in a worker then leaves the pages that it shares with the others alone
    try:
        control.sendall(framed(Ready(sandboxed)))
        ForkServer(control, workplace, sandboxed=sandboxed).serve()
    except ConnectionError:
        return  # the server went away, before or while it was being told something; the workers leave with this process


def _sandbox(*, required: bool) -> bool:
    if sys.platform == "linux":
        # When memory runs out, the kernel shall end the largest of these processes before the server.
        Path("/proc/self/oom_score_adj").write_text(_OUT_OF_MEMORY_SCORE, "ascii")
        ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
    try:
        syscall_filter.install(syscall_filter.FORK_SERVER_DENIALS)
    except syscall_filter.SandboxUnavailable:
        if required:
            raise
        return False
    return True


if __name__ == "__main__":
    main()
