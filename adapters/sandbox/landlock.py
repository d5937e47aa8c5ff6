"""Landlock: a process gives up the file system, TCP, and every way to other processes of its user.

Sources: landlock(7) and linux/landlock.h, up to version 7 of the interface.
"""

import ctypes
import os
import struct
import sys
import sysconfig
from collections.abc import Iterable
from pathlib import Path
from typing import Final

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


def version() -> int:
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
