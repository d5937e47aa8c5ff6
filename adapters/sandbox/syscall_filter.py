"""A seccomp filter for the processes that hold strangers' photos: what they may no longer ask the kernel for.

It needs no privilege (`no_new_privs`), is inherited by every thread and child made afterwards and can never be taken
off again. A second filter adds to the first. It must be in place before MediaPipe is imported, which otherwise reports
usage to Google from a thread of the process that holds the photo.
Sources: seccomp(2), linux/seccomp.h, linux/bpf_common.h, and the kernel's syscall tables (syscall_64.tbl, unistd.h).
"""

import ctypes
import errno
import os
import platform
import struct
import sys
from dataclasses import dataclass
from typing import Final


class SandboxUnavailable(Exception):
    """The kernel, the processor or the container does not allow the filter to be set."""


@dataclass(frozen=True, slots=True)
class Argument:
    """Holds when the lower 32 bits of argument number `index`, cut to the bits of `mask`, equal `value`."""

    index: int
    value: int
    mask: int = 0xFFFF_FFFF


@dataclass(frozen=True, slots=True)
class Denial:
    """A system call that answers `answer` instead of being carried out, except where `unless` holds."""

    syscall: str
    answer: int
    unless: Argument | None = None


@dataclass(frozen=True, slots=True)
class Architecture:
    """How one processor names itself (AUDIT_ARCH_*) and numbers its system calls; -1: it has no such call."""

    audit: int
    column: int
    has_x32: bool


ARCHITECTURES: Final = {
    "x86_64": Architecture(audit=0xC000_003E, column=0, has_x32=True),
    "aarch64": Architecture(audit=0xC000_00B7, column=1, has_x32=False),
}
NUMBERS: Final = {  # syscall: (x86_64, aarch64)
    "socket": (41, 198),
    "connect": (42, 203),
    "bind": (49, 200),
    "listen": (50, 201),
    "accept": (43, 202),
    "accept4": (288, 242),
    "execve": (59, 221),
    "execveat": (322, 281),
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "pidfd_getfd": (438, 438),
    "pidfd_open": (434, 434),
    "pidfd_send_signal": (424, 424),
    "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "userfaultfd": (323, 282),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "keyctl": (250, 219),
    "mount": (165, 40),
    "open_tree": (428, 428),
    "open_by_handle_at": (304, 265),
    "unshare": (272, 97),
    "setns": (308, 268),
    "clone": (56, 220),
    "clone3": (435, 435),
    "fork": (57, -1),
    "vfork": (58, -1),
    "kill": (62, 129),
    "tkill": (200, 130),
    "tgkill": (234, 131),
    "rt_sigqueueinfo": (129, 138),
    "rt_tgsigqueueinfo": (297, 240),
    "prlimit64": (302, 261),
}

_CLONE_THREAD: Final = 0x0001_0000
# CLONE_NEWTIME | NEWNS | NEWCGROUP | NEWUTS | NEWIPC | NEWUSER | NEWPID | NEWNET
_CLONE_NAMESPACES: Final = 0x7E02_0080


def _all(answer: int, *syscalls: str) -> tuple[Denial, ...]:
    return tuple(Denial(syscall, answer) for syscall in syscalls)


FORK_SERVER_DENIALS: Final = (
    # No network of any family, and no way to the sockets of a database or of Docker: what is needed is inherited.
    *_all(errno.EACCES, "socket", "connect", "bind", "listen", "accept", "accept4"),
    # No other program: there is nothing to start, and a shell is what an exploit wants first.
    *_all(errno.EACCES, "execve", "execveat"),
    # No look into other processes of the same user: the server holds keys, other workers other people's photos.
    *_all(errno.EPERM, "ptrace", "process_vm_readv", "process_vm_writev", "pidfd_getfd"),
    # io_uring opens sockets and files without the system calls that are refused here.
    *_all(errno.ENOSYS, "io_uring_setup", "io_uring_enter", "io_uring_register"),
    # Large corners of the kernel that no decoder needs and that have often been the way out.
    *_all(errno.EPERM, "bpf", "perf_event_open", "userfaultfd", "add_key", "request_key", "keyctl"),
    *_all(errno.EPERM, "mount", "open_tree", "open_by_handle_at", "unshare", "setns"),
    # A user namespace would bring capabilities back. The flags of clone3 cannot be seen by a filter, so it does not
    # exist and the C library falls back to clone.
    Denial("clone", errno.EPERM, unless=Argument(0, 0, _CLONE_NAMESPACES)),
    Denial("clone3", errno.ENOSYS),
)


def worker_denials(own_process_id: int) -> tuple[Denial, ...]:
    """What a worker may not do on top of what the fork server may not: have children, or touch other processes."""
    return (
        # Threads only. A child would outlive the worker's time limit.
        Denial("clone", errno.EPERM, unless=Argument(0, _CLONE_THREAD, _CLONE_THREAD)),
        *_all(errno.EPERM, "fork", "vfork"),
        # Signals to itself only: abort() uses tgkill.
        *_all(errno.EPERM, "kill", "tkill", "rt_sigqueueinfo", "rt_tgsigqueueinfo", "pidfd_open", "pidfd_send_signal"),
        Denial("tgkill", errno.EPERM, unless=Argument(0, own_process_id)),
        # Its own limits only: the server's belong to the same user.
        Denial("prlimit64", errno.EPERM, unless=Argument(0, 0)),
    )


def install(denials: tuple[Denial, ...]) -> None:
    """Refuse these system calls to this thread and to everything it starts, for good.

    Raises: SandboxUnavailable.
    """
    machine = platform.machine()
    if sys.platform != "linux" or machine not in ARCHITECTURES:
        raise SandboxUnavailable(f"no seccomp filter is known for {sys.platform} on {machine}")
    program = assemble(denials, ARCHITECTURES[machine])
    code = ctypes.create_string_buffer(program, len(program))
    # struct sock_fprog: the number of instructions, and where they are
    packed = struct.pack("HxxxxxxP", len(program) // _INSTRUCTION.size, ctypes.addressof(code))
    header = ctypes.create_string_buffer(packed, len(packed))
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)
    _prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.addressof(header))


def assemble(denials: tuple[Denial, ...], architecture: Architecture) -> bytes:
    """The filter as classic BPF; every instruction is a struct sock_filter of 8 bytes."""
    lines = [
        _load(_OFFSET_OF_ARCHITECTURE),
        _jump(_JUMP_IF_EQUAL, architecture.audit, then=1, otherwise=0),
        _answer(_KILL_PROCESS),  # 32-bit calls (int 0x80) have other numbers than those below
        _load(_OFFSET_OF_NUMBER),
    ]
    if architecture.has_x32:
        lines += [_jump(_JUMP_IF_AT_LEAST, _X32_CALL, then=0, otherwise=1), _answer(_KILL_PROCESS)]
    for denial in denials:
        number = NUMBERS[denial.syscall][architecture.column]
        if number >= 0:
            verdict = _verdict(denial)
            lines += [_jump(_JUMP_IF_EQUAL, number, then=0, otherwise=len(verdict)), *verdict]
    return b"".join((*lines, _answer(_ALLOW)))


def _verdict(denial: Denial) -> list[bytes]:
    refusal = _answer(_ERRNO | denial.answer)
    if denial.unless is None:
        return [refusal]
    condition = denial.unless
    return [
        _load(_OFFSET_OF_ARGUMENTS + 8 * condition.index),  # both processors are little-endian: the lower half
        _INSTRUCTION.pack(_AND, 0, 0, condition.mask),
        _jump(_JUMP_IF_EQUAL, condition.value & condition.mask, then=0, otherwise=1),
        _answer(_ALLOW),
        refusal,
    ]


_INSTRUCTION: Final = struct.Struct("HBBI")  # struct sock_filter: code, jt, jf, k
_LOAD_WORD, _AND, _JUMP_IF_EQUAL, _JUMP_IF_AT_LEAST, _RETURN = 0x20, 0x54, 0x15, 0x35, 0x06
_OFFSET_OF_NUMBER, _OFFSET_OF_ARCHITECTURE, _OFFSET_OF_ARGUMENTS = 0, 4, 16  # struct seccomp_data
_KILL_PROCESS, _ERRNO, _ALLOW = 0x8000_0000, 0x0005_0000, 0x7FFF_0000
_X32_CALL: Final = 0x4000_0000
_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, _PR_SET_NO_NEW_PRIVS = 22, 2, 38


def _load(offset: int) -> bytes:
    return _INSTRUCTION.pack(_LOAD_WORD, 0, 0, offset)


def _jump(code: int, value: int, *, then: int, otherwise: int) -> bytes:
    return _INSTRUCTION.pack(code, then, otherwise, value)


def _answer(value: int) -> bytes:
    return _INSTRUCTION.pack(_RETURN, 0, 0, value)


def _prctl(option: int, *arguments: int) -> None:
    padded = (*arguments, 0, 0, 0, 0)[:4]
    if ctypes.CDLL(None, use_errno=True).prctl(option, *map(ctypes.c_ulong, padded)) != 0:
        reason = os.strerror(ctypes.get_errno())
        raise SandboxUnavailable(f"the kernel refuses the seccomp filter (prctl {option}: {reason})")
