"""Memory for bodies on their way: as the settings say, or a quarter of what this process may use."""

import os
from pathlib import Path
from typing import Final

from entrypoints.http.admission import BodyMemory
from entrypoints.http.upload_form import FRAMING_BYTES
from entrypoints.wiring.settings import Settings

CGROUP: Final = Path("/sys/fs/cgroup")
"""v2: `memory.max`; v1: `memory/memory.limit_in_bytes` (Linux, cgroup-v2.rst and cgroup-v1/memory.rst)."""
MB: Final = 1024 * 1024
FILES_AT_ONCE: Final = 3
"""As many of the largest files may come in one form of a try-on."""


def body_memory(settings: Settings) -> BodyMemory:
    """The share of one server process."""
    given = settings.upload_memory_mb
    total_bytes = given * MB if given is not None else memory_limit_bytes() // 4
    return BodyMemory(settings.share(total_bytes), FILES_AT_ONCE * settings.max_file_bytes + FRAMING_BYTES)


def memory_limit_bytes(cgroup: Path = CGROUP) -> int:
    """The least of the machine's memory and the limits of this process's control group and those around it."""
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    own = cgroup / _own_group().lstrip("/")
    groups = [own, *(parent for parent in own.parents if parent.is_relative_to(cgroup))]
    files = [group / "memory.max" for group in groups] + [cgroup / "memory/memory.limit_in_bytes"]
    return min([machine, *(limit for file in files if (limit := _limit(file)) is not None)])


def _own_group() -> str:
    """The path of this process's group; empty where there is none."""
    try:
        lines = Path("/proc/self/cgroup").read_text().splitlines()
    except OSError:
        return ""
    return next((line.removeprefix("0::") for line in lines if line.startswith("0::")), "")


def _limit(file: Path) -> int | None:
    try:
        text = file.read_text().strip()
    except OSError:
        return None
    return int(text) if text.isdigit() else None
