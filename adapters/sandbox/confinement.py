"""Confinement by the kernel: Landlock takes away files and other processes, a seccomp filter most system calls.

Both need no privilege (`no_new_privs`), are inherited by threads and children and can never be taken off again; a
second one adds to the first. Sources: landlock(7), linux/landlock.h up to version 7 of the interface, seccomp(2),
linux/seccomp.h, linux/bpf_common.h, and the kernel's syscall tables.
"""

import ctypes
import errno
import os
import platform
import signal
import struct
import sys
import sysconfig
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ALLOW, KILL, REFUSE = 0x7FFF_0000, 0x8000_0000, 0x0005_0000
"""Answers of a filter (SECCOMP_RET_*): carry it out, end the process, fail with the error number that is added."""


class SandboxUnavailable(Exception):
    """The kernel, the processor or the container does not allow the sandbox to be set up."""


@dataclass(frozen=True, slots=True)
class Condition:
    """Holds when the lower 32 bits of argument number `index`, cut to the bits of `mask`, are one of `values`."""

    index: int
    values: tuple[int, ...]
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

_NO_CODE: Final = Condition(2, (0,), 4)  # PROT_EXEC
_NOT_OF_ALL: Final = Condition(3, (0,), 0x4_2000)  # MAP_HUGETLB | MAP_LOCKED: memory that others would lack
_NO_FLAGS, _NO_ADDRESS = Condition(3, (0,)), Condition(5, (0,))
_A_THREAD: Final = Condition(0, (0x3D_0F00,))
"""As the C library makes them: CLONE_VM, FS, FILES, SIGHAND, THREAD, SYSVSEM, SETTLS, PARENT_SETTID, CHILD_CLEARTID."""
_WAIT_AND_WAKE: Final = Condition(1, (0, 1, 3, 4, 5, 9, 10), 0xFFFF_FE7F)
"""FUTEX_WAIT, WAKE, REQUEUE, CMP_REQUEUE, WAKE_OP, WAIT_BITSET, WAKE_BITSET, of this process and by any clock."""
_ABOUT_OWN_PAGES: Final = Condition(2, (4, 8, 14, 15, 102, 103))
"""MADV_DONTNEED, FREE, HUGEPAGE, NOHUGEPAGE, GUARD_INSTALL, GUARD_REMOVE: what the C library and ours say."""

LOADING: Final = (
    # While libraries and models load, nothing of a stranger's is there yet. MediaPipe would report its use to Google.
    *(Rule(call, answer=REFUSE | errno.EACCES) for call in ("socket", "connect", "execve", "execveat")),
    Rule("io_uring_setup", answer=REFUSE | errno.ENOSYS),
)


def pixel_work(own_process_id: int) -> tuple[Rule, ...]:
    """All that decoding and detecting need: memory without code, their socket, threads, clocks, and to end."""
    plain = (
        "read write poll ppoll epoll_wait epoll_pwait close brk munmap mremap sched_yield sched_getaffinity getpid "
        "gettid clock_gettime gettimeofday nanosleep clock_nanosleep restart_syscall getrandom rt_sigprocmask "
        "rt_sigreturn sigaltstack set_robust_list rseq exit exit_group"
    )
    return (
        *map(Rule, plain.split()),  # sigaltstack: a thread of MediaPipe that ends and may not take off its own aborts
        Rule("recvfrom", (_NO_FLAGS,)),  # urgent bytes (MSG_OOB) and addresses have been a way into kernels
        Rule("sendto", (_NO_FLAGS, _NO_ADDRESS)),
        Rule("mmap", (_NO_CODE, _NOT_OF_ALL)),
        Rule("mprotect", (_NO_CODE,)),
        Rule("madvise", (_ABOUT_OWN_PAGES,)),
        Rule("futex", (_WAIT_AND_WAKE,)),
        # A filter cannot see the flags of clone3: the C library is told that there is none and falls back to clone.
        Rule("clone", (_A_THREAD,)),
        Rule("clone3", answer=REFUSE | errno.ENOSYS),
        # abort(): a decoder's failed assertion is not an attack
        Rule("tgkill", (Condition(0, (own_process_id,)), Condition(2, (signal.SIGABRT,)))),
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
    libc = _libc()
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
            *(_jump(_JUMP_IF_EQUAL, value, then=then, otherwise=0) for then, value in _to_the_end(condition.values)),
            _answer(otherwise),
            *lines,
        ]
    return lines


def _to_the_end(values: tuple[int, ...]) -> Iterable[tuple[int, int]]:
    """Each value, and how many instructions are left after its own, the refusal included."""
    return zip(range(len(values), 0, -1), values, strict=True)


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


_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446  # the same on x86_64 and aarch64
_ASK_FOR_VERSION, _PATH_BENEATH = 1, 1
_WRITE_FILE, _READ_FILE, _READ_DIR = 1 << 1, 1 << 2, 1 << 3
_RIGHTS_ON_FILES: Final = {1: 13, 2: 14, 3: 15, 5: 16}  # since version: how many rights there are to withhold
_SCOPES: Final = 0b11  # no abstract unix sockets and no signals out of the domain, since version 6
_TCP: Final = 0b11  # neither bind nor connect, since version 4

# What the C library and the numeric libraries read while they load: shared objects, the time zone, the processor.
SYSTEM_PATHS: Final = (
    "/lib",
    "/lib64",
    "/usr/lib",
    "/usr/share/zoneinfo",
    "/etc/ld.so.cache",
    "/etc/localtime",
    "/proc/cpuinfo",
    "/proc/meminfo",
    "/proc/self/statm",
    "/sys/devices/system/cpu",
    "/dev/null",
    "/dev/urandom",
)


def landlock_version() -> int:
    """The version of Landlock that the kernel offers, 0 if it offers none."""
    offered = _libc().syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), ctypes.c_uint32(_ASK_FOR_VERSION))
    return max(0, int(offered))


def code_paths() -> tuple[str, ...]:
    """The folders of Python itself, of the installed packages and of every module that has been imported by now."""
    folders = {sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")}
    files = (getattr(module, "__file__", None) for module in tuple(sys.modules.values()))
    folders |= {str(Path(file).parent) for file in files if file}
    return tuple(sorted(folders))


def restrict(readable: Iterable[str], known: int) -> None:
    """Let this thread, and all it starts, read beneath `readable` and nothing else; write to the null device.

    Args: known: the version to keep to. Without paths not even the root folder can be listed. Raises: OSError.
    """
    rights = (1 << max(count for since, count in _RIGHTS_ON_FILES.items() if since <= known)) - 1
    attributes = struct.pack("QQQ", rights, _TCP if known >= 4 else 0, _SCOPES if known >= 6 else 0)
    size = 24 if known >= 6 else 16 if known >= 4 else 8  # bytes of struct landlock_ruleset_attr
    ruleset = _call(_CREATE_RULESET, attributes, ctypes.c_size_t(size), ctypes.c_uint32(0))
    try:
        for path in readable:
            _allow_reading(ruleset, path)
        _call(_RESTRICT_SELF, ctypes.c_int(ruleset), ctypes.c_uint32(0))
    finally:
        os.close(ruleset)


def _allow_reading(ruleset: int, path: str) -> None:
    try:
        opened = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except (FileNotFoundError, PermissionError):
        return  # not every distribution has all of them, and what may not be read anyway needs no rule
    try:
        rights = _READ_FILE | (_READ_DIR if Path(path).is_dir() else 0)
        if path == os.devnull:
            rights |= _WRITE_FILE  # where libraries' chatter is sent while they load
        rule = struct.pack("=Qi", rights, opened)
        _call(_ADD_RULE, ctypes.c_int(ruleset), ctypes.c_int(_PATH_BENEATH), rule, ctypes.c_uint32(0))
    finally:
        os.close(opened)


def _call(number: int, *arguments: object) -> int:
    result = int(_libc().syscall(number, *arguments))
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return result


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)
