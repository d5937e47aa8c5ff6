"""The filter program itself, carried out instruction by instruction for processors that are not at hand, too."""

import errno
import struct

import pytest

from adapters.sandbox.syscall_filter import (
    ARCHITECTURES,
    FORK_SERVER_DENIALS,
    NUMBERS,
    SandboxUnavailable,
    assemble,
    install,
    worker_denials,
)

ALLOWED, KILLED = 0x7FFF_0000, 0x8000_0000
OWN_PROCESS, OTHER_PROCESS = 4711, 1
CLONE_VM, CLONE_THREAD, CLONE_NEWUSER = 0x100, 0x10000, 0x1000_0000


def refused(code: int) -> int:
    return 0x0005_0000 | code


def verdict(machine: str, number: int, *arguments: int, audit: int | None = None) -> int:
    """What a kernel would do, after seccomp(2): the most severe answer of the fork server's and the worker's filter."""
    architecture = ARCHITECTURES[machine]
    padded = (*arguments, 0, 0, 0, 0, 0, 0)[:6]
    call = struct.pack("<iIQ6Q", number, audit or architecture.audit, 0, *padded)
    programs = (assemble(denials, architecture) for denials in (FORK_SERVER_DENIALS, worker_denials(OWN_PROCESS)))
    answers = [carry_out(program, call) for program in programs]
    return next((answer for answer in answers if answer != ALLOWED), ALLOWED)


def carry_out(program: bytes, call: bytes) -> int:
    instructions = list(struct.iter_unpack("HBBI", program))
    accumulator, at = 0, 0
    while True:
        code, then, otherwise, value = instructions[at]
        at += 1
        match code:
            case 0x20:
                (accumulator,) = struct.unpack_from("<I", call, value)
            case 0x54:
                accumulator &= value
            case 0x15:
                at += then if accumulator == value else otherwise
            case 0x35:
                at += then if accumulator >= value else otherwise
            case 0x06:
                return int(value)
            case _:
                raise AssertionError(f"unknown instruction {code:#x}")


@pytest.mark.parametrize("machine", ARCHITECTURES)
class TestOnEveryProcessor:
    def number(self, machine: str, syscall: str) -> int:
        return NUMBERS[syscall][ARCHITECTURES[machine].column]

    def test_sockets_and_programs_are_refused(self, machine: str) -> None:
        for syscall in ("socket", "connect", "bind", "execve", "execveat"):
            assert verdict(machine, self.number(machine, syscall)) == refused(errno.EACCES), syscall

    def test_every_other_process_is_out_of_reach(self, machine: str) -> None:
        for syscall in ("ptrace", "process_vm_readv", "process_vm_writev", "kill", "pidfd_getfd"):
            assert verdict(machine, self.number(machine, syscall), OTHER_PROCESS) == refused(errno.EPERM), syscall
        assert verdict(machine, self.number(machine, "tgkill"), OTHER_PROCESS) == refused(errno.EPERM)
        assert verdict(machine, self.number(machine, "tgkill"), OWN_PROCESS) == ALLOWED

    def test_threads_are_made_but_no_processes_and_no_namespaces(self, machine: str) -> None:
        clone = self.number(machine, "clone")
        assert verdict(machine, clone, CLONE_VM | CLONE_THREAD) == ALLOWED
        assert verdict(machine, clone, CLONE_VM) == refused(errno.EPERM)
        assert verdict(machine, clone, CLONE_THREAD | CLONE_NEWUSER) == refused(errno.EPERM)
        assert verdict(machine, self.number(machine, "clone3")) == refused(errno.ENOSYS)

    def test_what_is_not_listed_is_allowed(self, machine: str) -> None:
        futex, mmap, sendto = {"x86_64": (202, 9, 44), "aarch64": (98, 222, 206)}[machine]
        for number in (futex, mmap, sendto):
            assert verdict(machine, number) == ALLOWED

    def test_calls_of_another_processor_end_the_process(self, machine: str) -> None:
        i386 = 0x4000_0003
        assert verdict(machine, 1, audit=i386) == KILLED


def test_the_x32_numbering_ends_the_process() -> None:
    assert verdict("x86_64", 0x4000_0000 + NUMBERS["socket"][0]) == KILLED


def test_an_unknown_processor_is_said_to_be_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.machine", lambda: "riscv64")
    with pytest.raises(SandboxUnavailable, match="riscv64"):
        install(FORK_SERVER_DENIALS)
