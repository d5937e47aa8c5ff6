"""Attacks on the sandbox from inside it: what whoever takes over a decoder or a detector would try first.

All are harmless where they succeed, so that `doctor` may carry them out on an operator's machine.
"""

import ctypes
import errno
import fcntl
import mmap
import os
import pkgutil
import signal
import socket
import termios
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

from adapters.sandbox import system
from adapters.sandbox.channel import (
    Begin,
    Channel,
    Invalid,
    Measure,
    Measured,
    Photo,
    Ready,
    from_decoder,
    from_detector,
)
from adapters.sandbox.children import Child, Children, StartFailed
from adapters.sandbox.trades import DecodingTrade, DetectingTrade, Observer, Trade
from application.ports.photos import OpenPhoto, PersonDetector, PhotoDecoder, PhotoMeter, ViewablePhoto
from domain.errors import InvalidImage
from domain.geometry import Box, Size
from domain.person import Outline, SeenPhoto
from domain.photo import Appearance, SourceFormat

Attack = Callable[[], object]
"""Raises: OSError when the kernel refuses."""

REFUSALS: Final = frozenset({errno.EPERM, errno.EACCES, errno.ENOSYS})
"""Any other error shows that the kernel went to work on it."""

_SECONDS: Final = 30.0
_PIPE_OF_NOBODY: Final = 0
_A_FILE: Final = "/etc/hostname"


def _c(name: str, *arguments: Any) -> Attack:
    """A function of the C library that returns a negative number when it fails."""

    def call() -> int:
        if (result := getattr(ctypes.CDLL(None, use_errno=True), name)(*arguments)) < 0:
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code))
        return int(result)

    return call


def _number(number: int, *arguments: int) -> Attack:
    """A system call that the C library may not know; from 424 on all processors have the same numbers."""
    return _c("syscall", number, *map(ctypes.c_long, arguments))


def _signal_somebody_through_a_file() -> None:
    """The kernel sends the signal, not kill: F_SETOWN names who gets it when the file can be read."""
    fcntl.fcntl(_PIPE_OF_NOBODY, fcntl.F_SETOWN, os.getppid())


HARMLESS: Final[Mapping[str, Attack]] = {
    "read a file": lambda: os.open(_A_FILE, os.O_RDONLY),
    "list a folder": lambda: os.listdir("/"),
    "look at a file's owner and times": lambda: os.stat(_A_FILE),
    "change a file's mode": lambda: os.chmod("/nowhere", 0o600),
    "change a file's times": lambda: os.utime("/nowhere"),
    "change a file's attributes": lambda: os.setxattr("/nowhere", "user.x", b"x"),
    "watch a folder": _c("inotify_init1", 0),
    "watch a file system": _c("fanotify_init", 0, 0),
    "make a socket": lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM),
    "make a socket of the kernel's": lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW),
    "start a program": lambda: os.execv("/nowhere", ["nowhere"]),
    "make a process": lambda: os.fork() or os._exit(0),
    "signal the parent": lambda: os.kill(os.getppid(), 0),
    "signal the parent through a file": _signal_somebody_through_a_file,
    "open the parent by number": lambda: os.pidfd_open(os.getppid()),
    "trace the parent": _c("ptrace", 16, os.getppid(), 0, 0),
    "read the parent's memory": lambda: os.open(f"/proc/{os.getppid()}/mem", os.O_RDONLY),
    "copy out of the parent's memory": _c("process_vm_readv", os.getppid(), None, 0, None, 0, 0),
    "slow the parent down": lambda: os.setpriority(os.PRIO_PROCESS, os.getppid(), 0),
    "schedule the parent": lambda: os.sched_setscheduler(os.getppid(), os.sched_getscheduler(0), os.sched_param(0)),
    "move the parent to a core": lambda: os.sched_setaffinity(os.getppid(), {0}),
    "leave shared memory behind": _c("shmget", 0, 4096, 0o1600),
    "leave a message queue behind": _c("msgget", 0, 0o1600),
    "leave a semaphore behind": _c("semget", 0, 1, 0o1600),
    "make a file in memory": lambda: os.memfd_create("x"),
    "make memory that holds code": lambda: mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_EXEC),
    "enter a name space": _c("unshare", 0x1000_0000),
    "mount a file system": _c("mount", b"x", b"/nowhere", b"tmpfs", 0, None),
    "change the root folder": lambda: os.chroot("/nowhere"),
    "become dumpable": _c("prctl", 4, 1, 0, 0, 0),
    "raise a limit": _c("setrlimit", 4, None),
    "kill everybody": lambda: os.kill(-1, 0),
    "stop itself": lambda: os.kill(os.getpid(), signal.SIGCONT),
    "handle a signal": lambda: signal.signal(signal.SIGUSR1, signal.SIG_IGN),
    "set a timer": lambda: signal.setitimer(signal.ITIMER_REAL, 0),
    "type into a terminal": lambda: fcntl.ioctl(_PIPE_OF_NOBODY, termios.TIOCSTI, b"x"),
    "copy a descriptor": lambda: os.dup(_PIPE_OF_NOBODY),
    "pass on a descriptor": _c("sendmsg", _PIPE_OF_NOBODY, None, 0),
    "send an urgent byte": _c("send", _PIPE_OF_NOBODY, b"x", 1, socket.MSG_OOB),
    "compare pages with others'": _c("madvise", None, 0, 12),  # MADV_MERGEABLE
    "keep memory from others": _c("mlock", None, 0),
    "change its personality": _c("personality", 0xFFFF_FFFF),
    "signal through a descriptor": _number(424, -1, 0, 0, 0),  # pidfd_send_signal
    "set up a ring of calls": _number(425, 1, 0),  # io_uring_setup
    "copy a tree of mounts": _number(428, -1, 0, 0),  # open_tree
    "open a file system": _number(430, 0, 0),  # fsopen
    "take a descriptor of the parent's": _number(438, -1, 0, 0),  # pidfd_getfd
    "advise on the parent's memory": _number(440, -1, 0, 0, 0, 0),  # process_madvise
    "make a ruleset of its own": _number(444, 0, 0, 1),  # landlock_create_ruleset
    "make memory that no debugger sees": _number(447, 0),  # memfd_secret
    "free the parent's memory": _number(448, -1, 0),  # process_mrelease
    "look into the page cache": _number(451, -1, 0, 0, 0),  # cachestat
    "seal memory": _number(462, 0, 0, 0),  # mseal
    "change attributes from a folder": _number(463, -1, 0, 0, 0, 0, 0),  # setxattrat
}


TABLE: Final = f"{__name__}:HARMLESS"


def is_held(outcome: str) -> bool:
    """Whether the sandbox kept an attack off."""
    return outcome in {"killed", "refused"}


def on_decoder(table: str, *, factory: str = f"{__name__}:decoder", sandboxed: bool = True) -> dict[str, str]:
    """Every attack of a table (`module:name`), each in a decoder of its own.

    Returns: by name of the attack: refused, killed, carried out, or how else the process ended. Raises: StartFailed.
    """
    trade = DecodingTrade(factory, table, samples=(), memory_bytes=1 << 30, cpu_seconds=_SECONDS)
    with _children(trade, system.DECODER_ENVIRONMENT, sandboxed=sandboxed) as children:
        return {name: _in_decoder(children.make(), name.encode()) for name in pkgutil.resolve_name(table)}


def on_detector(table: str, *, factory: str = f"{__name__}:observer", sandboxed: bool = True) -> dict[str, str]:
    """The same, each in a detector of its own."""
    trade = DetectingTrade(factory, table, readable_paths=(), memory_bytes=1 << 30)
    with _children(trade, system.DETECTOR_ENVIRONMENT, sandboxed=sandboxed) as children:
        names = pkgutil.resolve_name(table)
        return {name: _in_detector(children.make(), number) for number, name in enumerate(names, start=1)}


@contextmanager
def _children(trade: Trade, environment: Mapping[str, str], *, sandboxed: bool) -> Iterator[Children]:
    children = Children(trade, environment, sandboxed, start_seconds=_SECONDS)
    try:
        children.check()
        yield children
    finally:
        children.close()


def _in_decoder(child: Child, name: bytes) -> str:
    def ask(channel: Channel) -> str:
        channel.send(Photo(len(name)), name)
        answer = channel.receive(from_decoder)
        return answer.message if isinstance(answer, Invalid) else f"answered by {answer}"

    return _outcome_of(child, ask)


def _in_detector(child: Child, number: int) -> str:
    def ask(channel: Channel) -> str:
        channel.send(Begin(None))
        if not isinstance(ready := channel.receive(from_detector), Ready):
            raise StartFailed(str(ready))
        channel.send(Measure(SourceFormat.JPEG, Size(number, 1), None, None))
        answer = channel.receive(from_detector)
        return _in_words(int(answer.appearance.detail)) if isinstance(answer, Measured) else f"answered by {answer}"

    return _outcome_of(child, ask)


def _outcome_of(child: Child, ask: Callable[[Channel], str]) -> str:
    child.channel.patience(time.monotonic() + _SECONDS)
    try:
        return ask(child.channel)
    except (EOFError, ConnectionError):
        return "killed" if (code := child.end().exit_code) == -signal.SIGSYS else f"ended with {code}"
    finally:
        child.dismiss()


def _carry_out(attack: Attack) -> int:
    """0 when it worked, or the number of the error."""
    try:
        attack()
    except OSError as error:
        return error.errno or errno.EIO
    return 0


def _in_words(code: int) -> str:
    return "refused" if code in REFUSALS else f"carried out ({errno.errorcode.get(code, 'it worked')})"


def decoder(table: str) -> PhotoDecoder:
    """A decoder that takes a photo for the name of an attack in the table."""
    return _HostileDecoder(pkgutil.resolve_name(table))


def observer(table: str) -> Callable[[], Observer]:
    """A detector that takes the width of a photo for the number of an attack in the table, counted from 1."""
    attacks = list(pkgutil.resolve_name(table).values())
    return lambda: _HostileObserver(attacks)


class _HostileDecoder(PhotoDecoder):
    def __init__(self, attacks: Mapping[str, Attack]) -> None:
        self._attacks = attacks

    def open(self, photo: bytes | memoryview) -> OpenPhoto:
        raise InvalidImage(_in_words(_carry_out(self._attacks[bytes(photo).decode()])))


class _HostileObserver(PersonDetector, PhotoMeter):
    def __init__(self, attacks: list[Attack]) -> None:
        self._attacks = attacks

    def detect(self, photo: ViewablePhoto) -> SeenPhoto:
        return SeenPhoto.unseen(photo.upright_size)

    def measure(self, photo: ViewablePhoto, region: Box | None, outline: Outline | None = None) -> Appearance:
        return Appearance(0, 0, 0, _carry_out(self._attacks[photo.upright_size.width - 1]))
