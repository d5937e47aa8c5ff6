"""Everything that a taken-over decoder or detector might try, tried inside of real ones."""

import ctypes
import errno
import mmap
import os
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from adapters.sandbox import attacks, confinement
from adapters.sandbox.confinement import ARCHITECTURES, NUMBERS, pixel_work
from application.ports.photos import PhotoDecoder

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
    "a thread in a name space by clone": partial(raw, NUMBER["clone"], 0x103D_0F00, 0, 0, 0, 0),
    "a sibling by clone": partial(raw, NUMBER["clone"], 0x8000 | 17, 0, 0, 0, 0),
    "a process with our memory by clone": partial(raw, NUMBER["clone"], 0x100 | 17, 0, 0, 0, 0),
    "code by mmap": partial(raw, NUMBER["mmap"], 0, 4096, 7, 0x22),
    "code by mprotect": partial(raw, NUMBER["mprotect"], 0, 0, 5),
    "a signal to another process": partial(raw, NUMBER["tgkill"], 1, 1, 6),
    "no signal to itself": lambda: raw(NUMBER["tgkill"], os.getpid(), os.getpid(), 0),
    "a lock that lends priority": partial(raw, NUMBER["futex"], 0, 6, 0, 0, 0, 0),
    "memory of the pool of huge pages": partial(raw, NUMBER["mmap"], 0, 4096, 3, 0x4_0022),
    "memory that stays": partial(raw, NUMBER["mmap"], 0, 4096, 3, 0x2022),
    "a message to an address": partial(raw, NUMBER["sendto"], 3, 0, 0, 0, 0, 110),
    "a look at what comes next": partial(raw, NUMBER["recvfrom"], 3, 0, 0, 2, 0, 0),
}


def holes(outcomes: dict[str, str]) -> dict[str, str]:
    assert outcomes
    return {name: outcome for name, outcome in outcomes.items() if not attacks.is_held(outcome)}


def test_every_attack_ends_a_decoder() -> None:
    outcomes = attacks.on_decoder(HARMLESS)
    assert len(outcomes) > 50
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
        "set up a ring of calls", "copy a tree of mounts", "open a file system",
        "make memory that no debugger sees", "look into the page cache", "seal memory",
        "change attributes from a folder",
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


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="its machine code")
class TestCode:
    """A page that a library wrote before, as for its callbacks."""

    def test_that_calls_the_kernel_in_32_bits_ends_the_process(self) -> None:
        assert attacks.on_decoder(f"{__name__}:IN_32_BITS", factory=WITH_CODE) == {"getpid": "killed"}

    def test_can_no_longer_be_written(self) -> None:
        outcomes = attacks.on_decoder(f"{__name__}:OVERWRITING", factory=WITH_CODE)
        assert outcomes == {"overwrite code": f"ended with {-signal.SIGSEGV}"}


WITH_CODE = f"{__name__}:decoder_with_code"
_CODE: list[mmap.mmap] = []


def decoder_with_code(table: str) -> PhotoDecoder:
    _CODE.append(mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC))
    _CODE[0].write(bytes.fromhex("b814000000cd80c3"))  # mov eax, 20; int 0x80; ret
    return attacks.decoder(table)


def _run_code() -> None:
    ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(_CODE[0])))()


def _overwrite_code() -> None:
    _CODE[0][0] = 0xC3


IN_32_BITS: dict[str, attacks.Attack] = {"getpid": _run_code}
OVERWRITING: dict[str, attacks.Attack] = {"overwrite code": _overwrite_code}


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
import adapters.sandbox.attacks, adapters.sandbox.children
os.setgroups([]); os.setresgid(*3 * [{ORDINARY_USER}]); os.setresuid(*3 * [{ORDINARY_USER}])
ctypes.CDLL(None).prctl(4, 1, 0, 0, 0)  # as after an exec: becoming somebody else made this process undumpable
adapters.sandbox.children.main()
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


@pytest.mark.parametrize("version", range(1, confinement.landlock_version() + 1))
def test_every_version_of_landlock_hides_all_files(version: int, tmp_path: Path) -> None:
    """Landlock alone, of each version that a kernel may have, in a process without a filter."""
    attempt = (
        "import ctypes, os\n"
        "from adapters.sandbox import confinement\n"
        "ctypes.CDLL(None).prctl(38, 1, 0, 0, 0)\n"
        f"confinement.restrict((), {version})\n"
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
