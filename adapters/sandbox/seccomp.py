"""Seccomp filters: the list of system calls that a process may still make once it holds strangers' bytes.

A filter needs no privilege (`no_new_privs`), is inherited by threads and children and can never be taken off again; a
second one adds to the first. Sources: seccomp(2), linux/seccomp.h, linux/bpf_common.h, and the kernel's syscall tables.
"""

import ctypes
import errno
import os
import platform
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

ALLOW, KILL, REFUSE = 0x7FFF_0000, 0x8000_0000, 0x0005_0000
"""Answers of a filter (SECCOMP_RET_*): carry it out, end the process, fail with the error number that is added."""


class SandboxUnavailable(Exception):
    """The kernel, the processor or the container does not allow the sandbox to be set up."""


@dataclass(frozen=True, slots=True)
class Condition:
    """Holds when the lower 32 bits of argument number `index`, cut to the bits of `mask`, equal `value`."""

    index: int
    value: int
    mask: int = 0xFFFF_FFFF


@dataclass(frozen=True, slots=True)
class Rule:
    """The answer to a system call if every condition holds; otherwise it gets the answer of unknown calls."""

    syscall: str
    conditions: tuple[Condition, ...] = ()
    answer: int = ALLOW


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
    "read": (0, 63),
    "write": (1, 64),
    "close": (3, 57),
    "poll": (7, -1),
    "mmap": (9, 222),
    "mprotect": (10, 226),
    "munmap": (11, 215),
    "brk": (12, 214),
    "rt_sigprocmask": (14, 135),
    "rt_sigreturn": (15, 139),
    "sched_yield": (24, 124),
    "mremap": (25, 216),
    "madvise": (28, 233),
    "nanosleep": (35, 101),
    "getpid": (39, 172),
    "socket": (41, 198),
    "connect": (42, 203),
    "sendto": (44, 206),
    "recvfrom": (45, 207),
    "clone": (56, 220),
    "execve": (59, 221),
    "exit": (60, 93),
    "gettimeofday": (96, 169),
    "sigaltstack": (131, 132),
    "gettid": (186, 178),
    "futex": (202, 98),
    "sched_getaffinity": (204, 123),
    "restart_syscall": (219, 128),
    "clock_gettime": (228, 113),
    "clock_nanosleep": (230, 115),
    "exit_group": (231, 94),
    "epoll_wait": (232, -1),
    "tgkill": (234, 131),
    "ppoll": (271, 73),
    "set_robust_list": (273, 99),
    "epoll_pwait": (281, 22),
    "getrandom": (318, 278),
    "execveat": (322, 281),
    "rseq": (334, 293),
    "io_uring_setup": (425, 425),
    "clone3": (435, 435),
}

_PROT_EXEC: Final = 4
_THREAD: Final = 0x0001_0900  # CLONE_THREAD | CLONE_SIGHAND | CLONE_VM
_NAMESPACES: Final = 0x7E02_0080  # CLONE_NEWTIME | NEWNS | NEWCGROUP | NEWUTS | NEWIPC | NEWUSER | NEWPID | NEWNET
_NO_CODE: Final = Condition(2, 0, _PROT_EXEC)

LOADING: Final = (
    # While libraries and models load, nothing of a stranger's is there yet. MediaPipe would report its use to Google.
    *(Rule(call, answer=REFUSE | errno.EACCES) for call in ("socket", "connect", "execve", "execveat")),
    Rule("io_uring_setup", answer=REFUSE | errno.ENOSYS),
)


def pixel_work(own_process_id: int) -> tuple[Rule, ...]:
    """All that decoding and detecting need: memory without code, their socket, threads, clocks, and to end."""
    plain = (
        "read write recvfrom sendto poll ppoll epoll_wait epoll_pwait close brk munmap mremap madvise futex "
        "sched_yield sched_getaffinity getpid gettid clock_gettime gettimeofday nanosleep clock_nanosleep "
        "restart_syscall getrandom rt_sigprocmask rt_sigreturn sigaltstack set_robust_list rseq exit exit_group"
    )
    return (
        *map(Rule, plain.split()),  # sigaltstack: a thread of MediaPipe that ends and may not take off its own aborts
        Rule("mmap", (_NO_CODE,)),
        Rule("mprotect", (_NO_CODE,)),
        # Threads, but no processes and no namespaces. A filter cannot see the flags of clone3: the C library is told
        # that there is none and falls back to clone.
        Rule("clone", (Condition(0, _THREAD, _THREAD | _NAMESPACES),)),
        Rule("clone3", answer=REFUSE | errno.ENOSYS),
        Rule("tgkill", (Condition(0, own_process_id),)),  # abort(): a decoder's failed assertion is not an attack
    )


def install(rules: Iterable[Rule], otherwise: int) -> None:
    """Put the filter on all threads of this process and on all that they start, for good.

    Args: otherwise: the answer to every system call without a rule. Raises: SandboxUnavailable.
    """
    machine = platform.machine()
    if machine not in ARCHITECTURES:
        raise SandboxUnavailable(f"no seccomp filter is known for {machine}")
    program = assemble(rules, otherwise, ARCHITECTURES[machine])
    code = ctypes.create_string_buffer(program, len(program))
    # struct sock_fprog: the number of instructions, and where they are
    packed = struct.pack("HxxxxxxP", len(program) // _INSTRUCTION.size, ctypes.addressof(code))
    libc = ctypes.CDLL(None, use_errno=True)
    number = _SECCOMP[ARCHITECTURES[machine].column]
    failed = libc.prctl(_PR_SET_NO_NEW_PRIVS, *map(ctypes.c_ulong, (1, 0, 0, 0))) or libc.syscall(
        number, ctypes.c_long(_SECCOMP_SET_MODE_FILTER), ctypes.c_long(_SECCOMP_FILTER_FLAG_TSYNC), packed
    )
    if failed:
        raise SandboxUnavailable(f"the kernel refuses the seccomp filter: {os.strerror(ctypes.get_errno())}")


def assemble(rules: Iterable[Rule], otherwise: int, architecture: Architecture) -> bytes:
    """The filter as classic BPF; every instruction is a struct sock_filter of 8 bytes."""
    lines = [
        _load(_OFFSET_OF_ARCHITECTURE),
        _jump(_JUMP_IF_EQUAL, architecture.audit, then=1, otherwise=0),
        _answer(KILL),  # 32-bit calls (int 0x80) have other numbers than those below
        _load(_OFFSET_OF_NUMBER),
    ]
    if architecture.has_x32:
        lines += [_jump(_JUMP_IF_AT_LEAST, _X32_CALL, then=0, otherwise=1), _answer(KILL)]
    for rule in rules:
        number = NUMBERS[rule.syscall][architecture.column]
        if number >= 0:
            verdict = _verdict(rule, otherwise)
            lines += [_jump(_JUMP_IF_EQUAL, number, then=0, otherwise=len(verdict)), *verdict]
    return b"".join((*lines, _answer(otherwise)))


def _verdict(rule: Rule, otherwise: int) -> list[bytes]:
    lines = [_answer(rule.answer)]
    for condition in rule.conditions:
        lines = [
            _load(_OFFSET_OF_ARGUMENTS + 8 * condition.index),  # both processors are little-endian: the lower half
            _INSTRUCTION.pack(_AND, 0, 0, condition.mask),
            _jump(_JUMP_IF_EQUAL, condition.value & condition.mask, then=1, otherwise=0),
            _answer(otherwise),
            *lines,
        ]
    return lines


_INSTRUCTION: Final = struct.Struct("HBBI")  # struct sock_filter: code, jt, jf, k
_LOAD_WORD, _AND, _JUMP_IF_EQUAL, _JUMP_IF_AT_LEAST, _RETURN = 0x20, 0x54, 0x15, 0x35, 0x06
_OFFSET_OF_NUMBER, _OFFSET_OF_ARCHITECTURE, _OFFSET_OF_ARGUMENTS = 0, 4, 16  # struct seccomp_data
_X32_CALL: Final = 0x4000_0000
_PR_SET_NO_NEW_PRIVS, _SECCOMP_SET_MODE_FILTER, _SECCOMP_FILTER_FLAG_TSYNC = 38, 1, 1
_SECCOMP: Final = (317, 277)


def _load(offset: int) -> bytes:
    return _INSTRUCTION.pack(_LOAD_WORD, 0, 0, offset)


def _jump(code: int, value: int, *, then: int, otherwise: int) -> bytes:
    return _INSTRUCTION.pack(code, then, otherwise, value)


def _answer(value: int) -> bytes:
    return _INSTRUCTION.pack(_RETURN, 0, 0, value)
