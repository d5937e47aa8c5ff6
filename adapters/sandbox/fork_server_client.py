"""The server's side of the fork server and of its workers: starting them, talking to them, learning of their end."""

import asyncio
import contextlib
import itertools
import os
import pickle
import socket
import subprocess
import sys
from pathlib import Path
from typing import Final

import msgspec

from adapters.sandbox.messages import (
    ANY_CORE,
    COMMAND,
    FORK,
    KILL,
    LENGTH,
    PHOTO_HEADER,
    Ended,
    Failed,
    FromForkServer,
    Ready,
    Reply,
    Started,
    fork_server_messages,
    replies,
)
from adapters.sandbox.worker import Workplace

# All that a worker's environment may hold: no key, no database, no bucket. Names that the loader, Python, the C library
# and matplotlib (which MediaPipe imports) read.
_PASSED_ON: Final = ("PATH", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR", "LD_LIBRARY_PATH", "MPLCONFIGDIR")
WORKER_ENVIRONMENT: Final = {
    "MALLOC_ARENA_MAX": "2",  # a worker computes in one thread; glibc's default of 8 per core only scatters memory
    # New pages cost more than most of what is done with them: pictures lie in pages of 2 MB, and a worker keeps the
    # memory of an ordinary photo for the next one (7 % of a 12-megapixel JPEG's time).
    "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1",
    "MALLOC_MMAP_THRESHOLD_": str(64 * 1024 * 1024),
    "MALLOC_TRIM_THRESHOLD_": str(48 * 1024 * 1024),
    "OMP_NUM_THREADS": "1",  # the workers are the parallelism
    "OPENBLAS_NUM_THREADS": "1",
    "TF_CPP_MIN_LOG_LEVEL": "2",
    "GLOG_minloglevel": "2",
    "PYTHONDONTWRITEBYTECODE": "1",
}
_GOODBYE_SECONDS: Final = 2.0  # from a closed connection to the news of the exit; milliseconds unless swapping
_MAX_GREETING_BYTES: Final = 65_536  # the text of an exception, at most
_SOCKET_BUFFER_BYTES: Final = 1 << 20  # fewer turns of the event loop per photo; the kernel may grant less


Photo = bytes | bytearray | memoryview


class WorkerStartFailed(Exception):
    """No worker can be had, and the reason, for the operator: a missing model or library, memory, the sandbox."""


class SandboxRefused(WorkerStartFailed):
    """The seccomp filter cannot be set here, and running without it was not allowed."""


class WorkerDied(Exception):
    """A worker ended, or answered nonsense, instead of replying. `exit_code` as in subprocess; None: unknown."""

    def __init__(self, exit_code: int | None) -> None:
        super().__init__(f"exit code {exit_code}")
        self.exit_code = exit_code


class WorkerConnection:
    """One worker, as the server sees it."""

    def __init__(self, number: int, connection: socket.socket, fork_server: "ForkServerClient") -> None:
        self.number = number
        self.process_id: int | None = None
        self.photos_begun = 0
        self.exit_code: asyncio.Future[int | None] = asyncio.get_running_loop().create_future()
        self._connection = connection
        self._fork_server = fork_server

    @property
    def resident_bytes(self) -> int:
        """Physical memory in use, 0 where the system does not say."""
        try:
            return int(Path(f"/proc/{self.process_id}/statm").read_text("ascii").split()[1]) * os.sysconf("SC_PAGESIZE")
        except FileNotFoundError:
            return 0

    async def prepare(self, photo: Photo, *, crop: bool, max_reply_bytes: int) -> Reply:
        """Raises: WorkerDied."""
        self.photos_begun += 1
        loop = asyncio.get_running_loop()
        try:
            await loop.sock_sendall(self._connection, PHOTO_HEADER.pack(memoryview(photo).nbytes, crop))
            await loop.sock_sendall(self._connection, photo)
        except ConnectionError:
            raise WorkerDied(await self._last_word()) from None
        return await self.reply(max_reply_bytes)

    async def reply(self, max_bytes: int) -> Reply:
        """The next thing the worker says. Raises: WorkerDied."""
        try:
            (size_bytes,) = LENGTH.unpack(await _receive(self._connection, LENGTH.size))
            if size_bytes > max_bytes:
                raise WorkerDied(None)
            reply: Reply = replies.decode(await _receive(self._connection, size_bytes))
        except ConnectionError:
            raise WorkerDied(await self._last_word()) from None
        except msgspec.DecodeError:  # and its subclass ValidationError: not what an honest worker says
            raise WorkerDied(None) from None
        return reply

    async def _last_word(self) -> int | None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_GOODBYE_SECONDS):
                return await asyncio.shield(self.exit_code)
        return None

    def dismiss(self) -> None:
        """End the worker whatever it is doing; `exit_code` tells when it is gone."""
        self._connection.close()
        self._fork_server.kill(self)


class ForkServerClient:
    """Keeps one fork server and hears from it. Started again when it has died."""

    def __init__(self, workplace: Workplace, *, start_seconds: float) -> None:
        self._workplace = workplace
        self._start_seconds = start_seconds
        self._numbers = itertools.count(1)
        self._workers: dict[int, WorkerConnection] = {}
        self._starting = asyncio.Lock()
        self._launched: tuple[subprocess.Popen[bytes], socket.socket] | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None
        self._listener: asyncio.Task[None] | None = None
        self.sandboxed = False

    @property
    def process_id(self) -> int | None:
        process = self._launched[0] if self._launched else self._process
        return process.pid if process else None

    def launch(self) -> None:
        """Let the fork server begin with its imports, which take a second or two; the first `hire` waits for them.

        Raises: OSError: no process or descriptor left.
        """
        self._launched = self._launch()

    async def hire(self, core: int | None = None) -> WorkerConnection:
        """A new worker, ready for its first photo; it stays on the core that is named. Raises: WorkerStartFailed."""
        try:
            async with asyncio.timeout(self._start_seconds):
                async with self._starting:
                    control = self._control or await self._start()
                worker = self._fork(control, core)
                try:
                    await _welcome(worker)
                except BaseException:
                    worker.dismiss()
                    raise
                return worker
        except TimeoutError:
            raise WorkerStartFailed(f"not ready within {self._start_seconds:g} seconds") from None
        except OSError as error:  # no process, descriptor or memory left
            raise WorkerStartFailed(str(error)) from error

    def kill(self, worker: WorkerConnection) -> None:
        """End a worker that may be hanging. Workers do not outlive their fork server, so a dead one needs no news."""
        if self._control is not None and worker.number in self._workers:
            with contextlib.suppress(ConnectionError):
                self._control.send(COMMAND.pack(KILL, worker.number, ANY_CORE))

    async def close(self) -> None:
        """End the fork server and every worker, and wait until they are gone. Nobody may be talking to one any more."""
        for worker in self._workers.values():
            worker.dismiss()
        if self._launched is not None:  # and nobody was ever hired
            process, control = self._launched
            control.close()
            await asyncio.to_thread(process.wait)
        if self._control is None or self._listener is None or self._process is None:
            return
        self._control.shutdown(socket.SHUT_RDWR)
        try:
            async with asyncio.timeout(_GOODBYE_SECONDS):
                await asyncio.shield(self._listener)
        except TimeoutError:
            self._process.kill()
            await self._listener

    async def _start(self) -> socket.socket:
        process, control = self._launched or self._launch()
        self._launched = None
        try:
            match await _hear(control):
                case Ready(sandboxed):
                    self.sandboxed = sandboxed
                case Failed(reason, sandbox_unavailable):
                    raise SandboxRefused(reason) if sandbox_unavailable else WorkerStartFailed(reason)
                case other:
                    raise WorkerStartFailed(f"the fork server began with {other}")
        except BaseException as error:
            process.kill()
            exit_code = await asyncio.to_thread(process.wait)
            control.close()
            if isinstance(error, ConnectionError):
                raise WorkerStartFailed(f"the fork server ended while starting, exit code {exit_code}") from error
            raise
        self._process, self._control = process, control
        self._listener = asyncio.create_task(self._listen(control, process))
        return control

    def _launch(self) -> tuple[subprocess.Popen[bytes], socket.socket]:
        """Start the fork server with nothing of ours but its socket and the way to our code."""
        control, theirs = socket.socketpair()
        control.setblocking(False)
        wish = "unsandboxed" if self._workplace.allow_unsandboxed else "sandboxed"
        environment = {name: os.environ[name] for name in _PASSED_ON if name in os.environ} | WORKER_ENVIRONMENT
        environment["PYTHONPATH"] = os.pathsep.join(path or str(Path.cwd()) for path in sys.path)
        with theirs:
            process = subprocess.Popen(  # noqa: S603 - our own module in our own interpreter
                [sys.executable, "-P", "-m", "adapters.sandbox.fork_server", str(theirs.fileno()), wish],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                env=environment,
                pass_fds=[theirs.fileno()],
                start_new_session=True,  # Ctrl-C in a terminal is for the server, which then closes the pool
            )
        if process.stdin is not None:
            with contextlib.suppress(BrokenPipeError), process.stdin as stdin:  # it says why on its socket
                stdin.write(pickle.dumps(self._workplace))
        return process, control

    def _fork(self, control: socket.socket, core: int | None) -> WorkerConnection:
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        worker = WorkerConnection(next(self._numbers), ours, self)
        with theirs:
            for end in (ours, theirs):
                end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SOCKET_BUFFER_BYTES)
            try:
                command = COMMAND.pack(FORK, worker.number, ANY_CORE if core is None else core)
                socket.send_fds(control, [command], [theirs.fileno()])
            except OSError:
                ours.close()
                raise
        self._workers[worker.number] = worker
        return worker

    async def _listen(self, control: socket.socket, process: subprocess.Popen[bytes]) -> None:
        try:
            while True:
                match await _hear(control):
                    case Started(number, process_id) if number in self._workers:
                        self._workers[number].process_id = process_id
                    case Ended(number, exit_code) if number in self._workers:
                        self._workers.pop(number).exit_code.set_result(exit_code)
        except ConnectionError:
            self._control = None
            control.close()
            await asyncio.to_thread(process.wait)
            while self._workers:
                _, worker = self._workers.popitem()
                worker.exit_code.set_result(None)


async def _welcome(worker: WorkerConnection) -> None:
    try:
        match await worker.reply(_MAX_GREETING_BYTES):
            case Ready():
                return
            case Failed(reason):
                raise WorkerStartFailed(reason)
            case other:
                raise WorkerStartFailed(f"the worker began with {type(other).__name__}")
    except WorkerDied as death:
        raise WorkerStartFailed(f"a worker ended while starting, {death}") from death


async def _hear(control: socket.socket) -> FromForkServer:
    (size_bytes,) = LENGTH.unpack(await _receive(control, LENGTH.size))
    message: FromForkServer = fork_server_messages.decode(await _receive(control, size_bytes))
    return message


async def _receive(connection: socket.socket, size_bytes: int) -> bytearray:
    """Exactly so many bytes. Raises: ConnectionError."""
    received = bytearray(size_bytes)
    rest = memoryview(received)
    while rest:
        count = await asyncio.get_running_loop().sock_recv_into(connection, rest)
        if count == 0:
            raise ConnectionResetError("the other side has ended")
        rest = rest[count:]
    return received
