"""Everything that a taken-over decoder or detector might try, tried inside of real ones."""

import ctypes
import errno
import os
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from adapters.sandbox import attacks, landlock
from adapters.sandbox.seccomp import ARCHITECTURES, NUMBERS, pixel_work

HARMLESS = attacks.TABLE
EVERY_SYSTEM_CALL = f"{__name__}:EVERY_FORBIDDEN_CALL"
HIGHEST_SYSTEM_CALL = 480  # Linux 6.18 has 470
EXEMPT = {335, 336} if os.uname().machine == "x86_64" else set()
"""uretprobe and uprobe: the kernel lets them past every filter, and they do nothing where no probe was placed."""
ORDINARY_USER = 10_001
ARCHITECTURE = ARCHITECTURES[os.uname().machine]
X32 = 0x4000_0000


def raw(number: int, *arguments: int) -> None:
    """A system call by its number; with arguments that are none, so that it does no harm where it gets through."""
    padded = (*arguments, -1, -1, -1, -1, -1, -1)[:6]
    if ctypes.CDLL(None, use_errno=True).syscall(number, *map(ctypes.c_long, padded)) < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


ALLOWED = {NUMBERS[rule.syscall][ARCHITECTURE.column] for rule in pixel_work(1) if rule.syscall != "clone3"}
EVERY_FORBIDDEN_CALL: dict[str, attacks.Attack] = {
    f"system call {number}": partial(raw, number)
    for number in range(HIGHEST_SYSTEM_CALL)
    if number not in ALLOWED | EXEMPT
}
NUMBER = {name: numbers[ARCHITECTURE.column] for name, numbers in NUMBERS.items()}
PARTLY_ALLOWED: dict[str, attacks.Attack] = {
    "a process by clone": partial(raw, NUMBER["clone"], 17, 0, 0, 0, 0),
    "a thread in a name space by clone": partial(raw, NUMBER["clone"], 0x1001_0900, 0, 0, 0, 0),
    "code by mmap": partial(raw, NUMBER["mmap"], 0, 4096, 7, 0x22),
    "code by mprotect": partial(raw, NUMBER["mprotect"], 0, 0, 5),
    "a signal to another process": partial(raw, NUMBER["tgkill"], 1, 1, 0),
}


def holes(outcomes: dict[str, str]) -> dict[str, str]:
    assert outcomes
    return {name: outcome for name, outcome in outcomes.items() if not attacks.is_held(outcome)}


def test_every_attack_ends_a_decoder() -> None:
    outcomes = attacks.on_decoder(HARMLESS)
    assert len(outcomes) > 30
    assert set(outcomes.values()) == {"killed"}


def test_every_attack_fails_in_a_detector() -> None:
    assert holes(attacks.on_detector(HARMLESS)) == {}


def test_the_attacks_are_real_without_a_sandbox_most_succeed_or_reach_the_kernel() -> None:
    """The suite could not fail otherwise; what stays refused needs rights that a process of root has given up."""
    outcomes = attacks.on_decoder(HARMLESS, sandboxed=False)
    refused = {name for name, outcome in outcomes.items() if attacks.is_held(outcome)}
    assert refused <= {
        "mount a file system", "enter a name space", "change the root folder", "trace the parent", "raise a limit",
        "watch a file system", "read the parent's memory", "copy out of the parent's memory",
        "make a socket of the kernel's", "open the parent by number", "slow the parent down",
    }  # fmt: skip


def test_no_system_call_but_those_of_pixel_work_gets_through_in_a_decoder() -> None:
    outcomes = attacks.on_decoder(EVERY_SYSTEM_CALL)
    assert len(outcomes) > 400
    assert holes(outcomes) == {}
    survivors = {name for name, outcome in outcomes.items() if outcome == "refused"}
    assert survivors <= {f"system call {NUMBER['clone3']}"}  # the C library falls back to clone


def test_no_system_call_but_those_of_pixel_work_gets_through_in_a_detector() -> None:
    """One detector for each would take minutes: they are tried by one thread of one detector, one after the other."""
    assert attacks.on_detector(f"{__name__}:ALL_FORBIDDEN_CALLS_AT_ONCE") == {"all": "refused"}


def _all_forbidden_calls() -> None:
    for name, attack in EVERY_FORBIDDEN_CALL.items():
        try:
            attack()
        except OSError as error:
            if error.errno in attacks.REFUSALS:
                continue
        raise OSError(errno.EXFULL, name)
    raise PermissionError(errno.EPERM, "all of them")


ALL_FORBIDDEN_CALLS_AT_ONCE: dict[str, attacks.Attack] = {"all": _all_forbidden_calls}


def test_calls_that_are_allowed_in_part_are_refused_in_their_other_part() -> None:
    table = f"{__name__}:PARTLY_ALLOWED"
    assert holes(attacks.on_decoder(table)) == {}
    assert holes(attacks.on_detector(table)) == {}


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="x32 is a way into x86_64 kernels only")
def test_a_system_call_in_the_x32_numbering_ends_the_process() -> None:
    table = f"{__name__}:IN_X32"
    assert set(attacks.on_decoder(table).values()) == {"killed"}
    assert set(attacks.on_detector(table).values()) == {"killed"}


IN_X32: dict[str, attacks.Attack] = {"socket": partial(raw, X32 + 41, 2, 1, 0), "kill": partial(raw, X32 + 62, 1, 0)}


AS_ORDINARY_USER = f"""
import ctypes, os
import encodings.ascii, sysconfig
sysconfig.get_paths(); sysconfig.get_path("stdlib")
import adapters.sandbox.attacks, adapters.sandbox.decoder, adapters.sandbox.detector, adapters.sandbox.parent
os.setgroups([]); os.setresgid(*3 * [{ORDINARY_USER}]); os.setresuid(*3 * [{ORDINARY_USER}])
ctypes.CDLL(None).prctl(4, 1, 0, 0, 0)  # as after an exec: becoming somebody else made this process undumpable
adapters.sandbox.parent.main()
"""
"""The libraries of these tests may lie where only root can read: they are loaded before."""


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become somebody else")
def test_the_same_holds_for_an_ordinary_user(monkeypatch: pytest.MonkeyPatch) -> None:
    def popen(command: list[str], **options: Any) -> "subprocess.Popen[bytes]":
        return real([command[0], "-P", "-c", AS_ORDINARY_USER, *command[-2:]], **options)

    real = subprocess.Popen
    monkeypatch.setattr("adapters.sandbox.children.subprocess.Popen", popen)
    assert holes(attacks.on_decoder(HARMLESS)) == {}
    assert holes(attacks.on_detector(HARMLESS)) == {}


def test_the_filter_alone_holds_where_landlock_does_nothing() -> None:
    without = "tests.sandbox.hostile:{}_without_landlock"
    assert holes(attacks.on_decoder(HARMLESS, factory=without.format("decoder"))) == {}
    assert holes(attacks.on_detector(HARMLESS, factory=without.format("observer"))) == {}


@pytest.mark.parametrize("version", range(1, landlock.version() + 1))
def test_every_version_of_landlock_hides_all_files(version: int, tmp_path: Path) -> None:
    """Landlock alone, of each version that a kernel may have, in a process without a filter."""
    attempt = (
        "import ctypes, os\n"
        "from adapters.sandbox import landlock\n"
        "ctypes.CDLL(None).prctl(38, 1, 0, 0, 0)\n"
        f"landlock.restrict((), {version})\n"
        f"new = {str(tmp_path / 'new')!r}\n"
        "for attack in (lambda: open('/etc/hostname'), lambda: os.listdir('/'), lambda: open(new, 'w')):\n"
        "    try:\n"
        "        attack()\n"
        "    except PermissionError:\n"
        "        continue\n"
        "    raise SystemExit('got through')\n"
    )
    done = subprocess.run([sys.executable, "-c", attempt], check=False, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_nobody_reads_the_memory_of_a_process_that_gave_up_its_rights() -> None:
    """Where Yama is absent, a dumpable process is an open book to all others of its user."""
    attempt = (
        "import ctypes\n"
        "from adapters.sandbox import system\n"
        "system.give_up_rights()\n"
        "print(ctypes.CDLL(None).prctl(3, 0, 0, 0, 0))\n"
    )
    done = subprocess.run([sys.executable, "-c", attempt], check=True, capture_output=True, text=True)
    assert done.stdout == "0\n"
