"""A worker: one process that prepares strangers' photos one after the other and holds nothing else worth having."""

import ctypes
import mmap
import os
import resource
import signal
import socket
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol, Self

from adapters.sandbox import file_access, syscall_filter
from adapters.sandbox.messages import (
    PHOTO_HEADER,
    Broken,
    Failed,
    Invalid,
    OutOfMemory,
    Prepared,
    Ready,
    Reply,
    TooLarge,
    Unsupported,
    framed,
)
from application.ports.photos import PreparedPhoto
from application.request_trace import RequestTrace, Stage
from domain.errors import ImageTooLarge, InvalidImage, UnsupportedImageFormat


class PhotoPreparer(Protocol):
    """What a worker runs: the whole way from a file to the picture that is kept."""

    def execute(self, photo: bytes | memoryview, *, crop: bool) -> PreparedPhoto:
        """Raises: UnsupportedImageFormat, InvalidImage, ImageTooLarge."""
        ...


PhotoPreparerFactory = Callable[[], PhotoPreparer]


@dataclass(frozen=True, slots=True)
class Workplace:
    """How a worker is made: what builds its decoder and detector, and what it may use.

    The factory is pickled by reference: a function at the top of a module, or a `functools.partial` of one. Its module
    is imported once, in the fork server, so it should import the heavy libraries at its top; the factory itself runs
    in every worker and pays for models and for what the first photo would otherwise have to wait for.
    """

    factory: PhotoPreparerFactory
    readable_paths: tuple[str, ...]
    photo_memory_bytes: int
    allow_unsandboxed: bool


_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE = 1, 4
_OPEN_FILES: Final = 64  # a worker holds about ten: its socket, /dev/null and what MediaPipe's threads wake up with
_MAX_PLACES: Final = 6  # innermost stack frames that are worth a line in the log


def run(connection: socket.socket, workplace: Workplace, *, sandboxed: bool, fork_server: int) -> None:
    """Everything a worker does, from just after the fork to its end."""
    _leave_with_the_fork_server(fork_server)
    try:
        _limit_process()
        with _AddressSpace() as address_space:
            if sandboxed:
                _limit_access(workplace)
            preparer = workplace.factory()
            address_space.limit_growth(workplace.photo_memory_bytes)
    except Exception as error:  # whatever it is, the operator has to read it: a missing model, library or memory
        connection.sendall(framed(Failed(f"{type(error).__name__}: {error}")))
        return
    connection.sendall(framed(Ready(sandboxed)))
    while (header := connection.recv(PHOTO_HEADER.size, socket.MSG_WAITALL)) and len(header) == PHOTO_HEADER.size:
        size_bytes, crop = PHOTO_HEADER.unpack(header)
        connection.sendall(_answer(connection, size_bytes, preparer, crop=crop))


class _AddressSpace:
    """The worker's own address space; opened before the files that tell its size are out of reach."""

    def __enter__(self) -> Self:
        self._figures = Path("/proc/self/statm").open("rb", buffering=0) if sys.platform == "linux" else None
        return self

    def __exit__(self, *_: object) -> None:
        if self._figures:
            self._figures.close()

    def limit_growth(self, size_bytes: int) -> None:
        """Bound it to what libraries and models take by now and what a photo may take on top of that."""
        if self._figures:
            in_use = int(self._figures.read().split()[0]) * mmap.PAGESIZE
            resource.setrlimit(resource.RLIMIT_AS, (in_use + size_bytes,) * 2)


def _answer(connection: socket.socket, size_bytes: int, preparer: PhotoPreparer, *, crop: bool) -> bytearray:
    reply: Reply
    try:
        photo = _receive(connection, size_bytes)
        with RequestTrace() as kept, Stage("encode"):
            prepared = preparer.execute(photo, crop=crop)
        return framed(Prepared(prepared, tuple(kept.stages)))
    except UnsupportedImageFormat:
        reply = Unsupported()
    except InvalidImage as error:
        reply = Invalid(str(error))
    except ImageTooLarge as error:
        reply = TooLarge(error.pixels, error.limit)
    except MemoryError:
        reply = OutOfMemory()
    except Exception as error:  # a library's own error, or our bug: the server logs it and replaces this worker
        reply = Broken(type(error).__qualname__, _places(error))
    return framed(reply)


def _receive(connection: socket.socket, size_bytes: int) -> bytes:
    photo = connection.recv(size_bytes, socket.MSG_WAITALL)
    if len(photo) < size_bytes:
        raise ConnectionError("the server is gone")
    return photo


def _places(error: Exception) -> str:
    """The innermost lines of code an error went through. Its text stays here: it may quote the photo."""
    frames = traceback.extract_tb(error.__traceback__)[-_MAX_PLACES:]
    return " > ".join(f"{Path(frame.filename).name}:{frame.lineno} {frame.name}" for frame in frames)


def _leave_with_the_fork_server(fork_server: int) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the server's to handle
    if sys.platform == "linux":
        libc = ctypes.CDLL(None, use_errno=True)
        libc.prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
        libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)  # other processes of this user cannot read the photos in here
    if os.getppid() != fork_server:
        os._exit(0)  # it died between the fork and the line above


def _limit_process() -> None:
    nothing = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):  # decoders talk on stderr, sometimes about what is in the file
        os.dup2(nothing, stream)
    os.close(nothing)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a core dump would be a photo on the disk
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))  # no worker writes a file
    resource.setrlimit(resource.RLIMIT_NOFILE, (_OPEN_FILES, _OPEN_FILES))


def _limit_access(workplace: Workplace) -> None:
    file_access.read_only((*file_access.SYSTEM_PATHS, *file_access.code_paths(), *workplace.readable_paths))
    syscall_filter.install(syscall_filter.worker_denials(os.getpid()))
