"""How many cores this process may really use: a container's share, not the host's number."""

import os
from pathlib import Path

CPU_MAX = Path("/sys/fs/cgroup/cpu.max")
"""cgroup v2: the time that may be used in each period, both in microseconds, or `max` (Linux, cgroup-v2.rst)."""


def usable_cores(cpu_max: Path = CPU_MAX) -> int:
    """At least one. Half a core counts as a whole: a worker that waits costs less than a core without work."""
    cores = len(os.sched_getaffinity(0))
    try:
        quota, period = cpu_max.read_text().split()
    except OSError:  # no cgroup v2 here
        return cores
    return cores if quota == "max" else max(1, min(cores, -(-int(quota) // int(period))))


def own_cores(cpu_max: Path = CPU_MAX) -> tuple[int, ...]:
    """The numbers of the cores of which this process may use all the time, beginning with any.

    Empty when it may only use as much as some of them have: its neighbors have the same cores, and only the kernel
    knows which is free.
    """
    cores = tuple(sorted(os.sched_getaffinity(0)))
    if usable_cores(cpu_max) != len(cores):
        return ()
    first = os.getpid() % len(cores)  # another one like this that has little to do shall not have it on the same core
    return cores[first:] + cores[:first]
