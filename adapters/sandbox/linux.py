"""Linux: the sandbox of a process, what it gives up at its start, and the share of the machine that it has.

Everything that only Linux has stands here; `portable` offers the same names to other systems.
"""

import ctypes
import mmap
import os
import resource
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from adapters.sandbox import confinement
from adapters.sandbox.confinement import SandboxUnavailable

HAS_SANDBOX: Final = True
LEAST_LANDLOCK: Final = 1
"""Linux 5.13. What later versions add (truncate, ioctl, signals, abstract sockets) the filters refuse by themselves."""

_MEGABYTE: Final = 1024 * 1024
_MALLOC: Final = {
    "MALLOC_ARENA_MAX": "1",  # a process computes in few threads: what one of them frees the next one takes
    "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1",  # new pages of 4 kB cost more than most of what is done with them
    "MALLOC_MMAP_THRESHOLD_": str(64 * _MEGABYTE),
}
DECODER_ENVIRONMENT: Final = _MALLOC | {
    "MALLOC_TOP_PAD_": str(64 * _MEGABYTE),
    "MALLOC_TRIM_THRESHOLD_": str(4096 * _MEGABYTE),  # a process that soon ends gives nothing back before
}
DETECTOR_ENVIRONMENT: Final = _MALLOC | {"MALLOC_TRIM_THRESHOLD_": str(48 * _MEGABYTE)}
SERVER_ENVIRONMENT: Final = {
    "MALLOC_ARENA_MAX": "2",
    "MALLOC_MMAP_THRESHOLD_": str(16 * _MEGABYTE),
    "MALLOC_TRIM_THRESHOLD_": str(32 * _MEGABYTE),
}
"""For glibc's malloc. The server keeps the memory of a few uploads at hand: fresh pages for 4 MB cost more than all
that it does with them."""

PACKAGE_OF: Final = {
    "libEGL.so.1": "libegl1",
    "libGLESv2.so.2": "libgles2",
    "libGL.so.1": "libgl1",
    "libglib-2.0.so.0": "libglib2.0-0",
    "libturbojpeg.so.0": "libturbojpeg0",
}
"""Library and the Debian and Ubuntu package that holds it: MediaPipe links the first two, OpenCV the others."""

_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_CAPBSET_DROP, _PR_CAP_AMBIENT, _CLEAR_ALL = 1, 4, 24, 47, 4
_CAPABILITY_VERSION_3: Final = 0x2008_0522
BIND_LOW_PORTS: Final = 10  # CAP_NET_BIND_SERVICE
_OUT_OF_MEMORY_SCORE: Final = "500"  # as if each took half of the memory more; from -1000 to 1000, see proc(5)


def sandbox_problem() -> str | None:
    """What is missing for the sandbox, in one sentence; tried in a process of its own, since a filter is for life."""
    if confinement.landlock_version() < LEAST_LANDLOCK:
        return "This kernel offers no Landlock (Linux 5.13 or newer, and `landlock` among the security modules)."
    attempt = "from adapters.sandbox import confinement as it; it.install(it.LOADING, it.ALLOW)"
    tried = subprocess.run([sys.executable, "-P", "-c", attempt], check=False, capture_output=True)  # noqa: S603 - fixed
    return "This kernel, or the container's profile, refuses seccomp filters." if tried.returncode else None


def sandbox_facts() -> str:
    """What `doctor` says of a machine that has what it takes."""
    return f"seccomp filters and Landlock version {confinement.landlock_version()}"


def refuse_network() -> None:
    """From now on this process has no network and starts no program. Raises: SandboxUnavailable."""
    confinement.install(confinement.LOADING, confinement.ALLOW)


def lock_files(readable: Iterable[str]) -> None:
    """Read beneath these paths, the libraries and our code only; write nothing. Raises: SandboxUnavailable."""
    _restrict((*confinement.SYSTEM_PATHS, *confinement.code_paths(), *readable))


def confine_decoder() -> None:
    """From here on: no path, and any call but those of pixel work ends the process. Raises: SandboxUnavailable."""
    _restrict(())
    confinement.install(confinement.pixel_work(os.getpid()), confinement.KILL)


def confine_detector() -> None:
    """The same for a process whose libraries try this and that: other calls fail. Raises: SandboxUnavailable."""
    confinement.install(confinement.pixel_work(os.getpid()), confinement.REFUSE | 1)  # EPERM


def _restrict(readable: Iterable[str]) -> None:
    version = confinement.landlock_version()
    if version < LEAST_LANDLOCK:
        raise SandboxUnavailable("the kernel offers no Landlock")
    try:
        confinement.restrict(readable, version)
    except OSError as error:
        raise SandboxUnavailable(f"the kernel refuses Landlock: {error.strerror}") from error


def seal_code() -> None:
    """No memory of this process, or of a child, is both written and carried out: what was is only carried out now.

    Libraries keep callbacks in such pages, and have made all of theirs by now. Raises: OSError.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    for area, rights, *_ in map(str.split, Path("/proc/self/maps").read_text("utf-8", "replace").splitlines()):
        if rights.startswith("rwx"):
            first, last = (int(address, 16) for address in area.split("-"))
            if libc.mprotect(ctypes.c_void_p(first), ctypes.c_size_t(last - first), mmap.PROT_READ | mmap.PROT_EXEC):
                raise OSError(ctypes.get_errno(), "code can still be written")


def threads_of(process_id: int) -> int:
    """How many there are now; nobody counts where `/proc` shows no other processes."""
    try:
        return Path(f"/proc/{process_id}/task").stat().st_nlink - 2  # a folder for each, see proc(5)
    except OSError:
        return 0


def give_up_rights(keep: Iterable[int] = ()) -> None:
    """No core dump, nobody reads this process' memory, and none of root's capabilities, also not after an exec."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a core dump would be a photo on the disk
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
    kept = sum(1 << number for number in keep)
    for number in range(64):
        if not kept >> number & 1:
            libc.prctl(_PR_CAPBSET_DROP, number, 0, 0, 0)  # refused to ordinary users, who have nothing to lose
    libc.prctl(_PR_CAP_AMBIENT, _CLEAR_ALL, 0, 0, 0)
    mine = _permitted_capabilities() & kept
    low, high = mine & 0xFFFF_FFFF, mine >> 32
    libc.capset(struct.pack("Ii", _CAPABILITY_VERSION_3, 0), struct.pack("6I", low, low, 0, high, high, 0))


def _permitted_capabilities() -> int:
    status = Path("/proc/self/status").read_text("ascii", "replace")
    return int(status.partition("CapPrm:")[2].split()[0], 16)


def end_with_parent(parent: int) -> None:
    """Be killed when the parent process, which has this number, ends; now, if it has ended already."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
    if os.getppid() != parent:
        os._exit(0)


def hold_name(name: str) -> bool:
    """Take a name for this process and all that it becomes. False: somebody with the same network has it (unix(7))."""
    holder = socket.socket(socket.AF_UNIX)
    try:
        holder.bind(f"\0{name}")
    except OSError:
        holder.close()
        return False
    os.set_inheritable(holder.detach(), True)
    return True


def go_first_when_memory_runs_out() -> None:
    """The kernel shall end this process before the server."""
    Path("/proc/self/oom_score_adj").write_text(_OUT_OF_MEMORY_SCORE, "ascii")


def address_space_bytes() -> int:
    """Of this process; 0 where the system does not say."""
    return int(Path("/proc/self/statm").read_text("ascii").split()[0]) * mmap.PAGESIZE


def limit_address_space(size_bytes: int) -> None:
    """From here on more of it is refused."""
    resource.setrlimit(resource.RLIMIT_AS, (size_bytes, size_bytes))


def stay_on(core: int) -> None:
    """Before there are threads: MediaPipe's take turns with ours, and find in the caches what the last one left."""
    if core in os.sched_getaffinity(0):
        os.sched_setaffinity(0, {core})


def missing_library_advice(package_of: dict[str, str] = PACKAGE_OF) -> str | None:
    """One line that says what to install; None when everything that no Python package brings along is there."""
    packages = [package for library, package in package_of.items() if not _can_be_loaded(library)]
    if not packages:
        return None
    return f"Missing system libraries. Install them with: sudo apt-get install -y {' '.join(packages)}"


def _can_be_loaded(library: str) -> bool:
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True


def usable_cores(cgroups: Path = Path("/sys/fs/cgroup"), own: Path = Path("/proc/self/cgroup")) -> int:
    """A container's share, not the host's number; at least one.

    Half a core counts as a whole: a process that waits costs less than a core without work.
    """
    cores = len(os.sched_getaffinity(0))
    shares = [-(-quota // period) for quota, period in _cpu_quotas(cgroups, own) if quota > 0 and period > 0]
    return max(1, min([cores, *shares]))


def own_cores() -> tuple[int, ...]:
    """The numbers of the cores of which this process may use all the time, beginning with any.

    Empty when it may only use as much as some of them have: its neighbors have the same cores, and only the kernel
    knows which is free.
    """
    cores = tuple(sorted(os.sched_getaffinity(0)))
    if usable_cores() != len(cores):
        return ()
    first = os.getpid() % len(cores)  # another one like this that has little to do shall not have it on the same core
    return cores[first:] + cores[:first]


def take_room(descriptor: int, size: int) -> None:
    """Let a file have `size` bytes of its own. Raises: OSError when there is no room for them."""
    os.posix_fallocate(descriptor, 0, size)


def usable_memory_bytes(cgroups: Path = Path("/sys/fs/cgroup"), own: Path = Path("/proc/self/cgroup")) -> int:
    """What this process and its neighbors in its control groups may use, at most all that the machine has."""
    limits = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    for folder in _own_groups(cgroups, own, "memory"):
        for name in ("memory.max", "memory.limit_in_bytes"):
            limits.extend(_numbers(folder / name))
    return min(limits)


def _cpu_quotas(cgroups: Path, own: Path) -> Iterator[tuple[int, int]]:
    """Microseconds of time in each period of microseconds, from every group above this process."""
    for folder in _own_groups(cgroups, own, "cpu"):
        if len(both := _numbers(folder / "cpu.max")) == 2:  # version 2; one number means that there is no limit
            yield both[0], both[1]
        for quota in _numbers(folder / "cpu.cfs_quota_us"):  # version 1; -1 means that there is no limit
            for period in _numbers(folder / "cpu.cfs_period_us"):
                yield quota, period


def _own_groups(cgroups: Path, own: Path, controller: str) -> Iterator[Path]:
    """Folders of the groups that hold this process, innermost first, in version 2 and in version 1 (cgroups(7))."""
    try:
        lines = own.read_text("utf-8", "replace").splitlines()
    except OSError:
        lines = ["0::/"]
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers and controller not in controllers.split(","):
            continue
        root = cgroups / controllers if controllers else cgroups
        group = Path(path.lstrip("/"))
        if ".." in group.parts:  # the group lies outside of what this container is shown
            group = Path()
        yield from (root / folder for folder in (group, *group.parents))
        if controllers != controller:
            yield cgroups / controller


def _numbers(file: Path) -> list[int]:
    try:
        words = file.read_text("ascii").split()
    except OSError:
        return []
    return [int(word) for word in words if word.lstrip("-").isdigit()]
