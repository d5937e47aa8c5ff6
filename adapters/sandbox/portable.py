"""Systems other than Linux: processes without a sandbox, for a developer's own photos on a loopback host."""

import os
import resource
import threading
import time
from collections.abc import Iterable
from typing import Final

from adapters.sandbox.confinement import SandboxUnavailable

HAS_SANDBOX: Final = False
DECODER_ENVIRONMENT: Final[dict[str, str]] = {}
DETECTOR_ENVIRONMENT: Final[dict[str, str]] = {}
SERVER_ENVIRONMENT: Final[dict[str, str]] = {}
BIND_LOW_PORTS: Final = 10
_LOOK_AROUND_SECONDS: Final = 0.5


def sandbox_problem() -> str | None:
    return "Only Linux has the sandbox; here photos are decoded without it, and only a loopback host is served."


def sandbox_facts() -> str:
    return "none"


def refuse_network() -> None:
    """Raises: SandboxUnavailable. So nobody comes to what confines a process further."""
    raise SandboxUnavailable("there is no sandbox on this system")


def seal_code() -> None:
    """Who may write code is macOS' own business."""


def threads_of(process_id: int) -> int:
    return 0


def give_up_rights(keep: Iterable[int] = ()) -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def end_with_parent(parent: int) -> None:
    """Be killed soon after the parent process, which has this number, ends."""
    threading.Thread(target=_watch, args=(parent,), name="watch-parent", daemon=True).start()


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(_LOOK_AROUND_SECONDS)
    os._exit(0)


def hold_name(name: str) -> bool:
    """There are no such names here."""
    return True


def go_first_when_memory_runs_out() -> None:
    """There is no way to ask for it."""


def address_space_bytes() -> int:
    return 0


def limit_address_space(size_bytes: int) -> None:
    """RLIMIT_AS is not kept by macOS."""


def stay_on(core: int) -> None:
    """macOS moves its threads about by itself."""


def missing_library_advice() -> str | None:
    return None


def usable_cores() -> int:
    return os.cpu_count() or 1


def own_cores() -> tuple[int, ...]:
    return ()


def take_room(descriptor: int, size: int) -> None:
    """Let a file have `size` bytes of its own, by writing them. Raises: OSError when there is no room for them."""
    there = os.fstat(descriptor).st_size
    while there < size:
        there += os.pwrite(descriptor, bytes(size - there), there)


def usable_memory_bytes() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
