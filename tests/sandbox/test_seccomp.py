"""The filter program itself, carried out instruction by instruction for processors that are not at hand, too."""

import errno
import struct

import pytest

from adapters.sandbox.confinement import (
    ALLOW,
    ARCHITECTURES,
    KILL,
    LOADING,
    NUMBERS,
    REFUSE,
    SandboxUnavailable,
    assemble,
    install,
    pixel_work,
)

OWN_PROCESS, OTHER_PROCESS = 4711, 1
CLONE_THREAD, CLONE_NEWUSER, CLONE_PARENT = 0x3D_0F00, 0x1000_0000, 0x8000
OTHER_CALLS = {
    "x86_64": {"openat": 257, "chmod": 90, "kill": 62, "fcntl": 72, "ptrace": 101, "shmget": 29},
    "aarch64": {"openat": 56, "fchmodat": 53, "kill": 129, "fcntl": 25, "ptrace": 117, "shmget": 194},
}


def refused(code: int) -> int:
    return REFUSE | code


def verdict(machine: str, number: int, *arguments: int, audit: int | None = None, otherwise: int = KILL) -> int:
    """What a kernel would do, after seccomp(2): the most severe answer of the parent's and the child's filter."""
    architecture = ARCHITECTURES[machine]
    padded = (*arguments, 0, 0, 0, 0, 0, 0)[:6]
    call = struct.pack("<iIQ6Q", number, audit or architecture.audit, 0, *padded)
    programs = (assemble(LOADING, ALLOW, architecture), assemble(pixel_work(OWN_PROCESS), otherwise, architecture))
    answers = [carry_out(program, call) for program in programs]
    severity = (KILL, *(answer for answer in answers if answer not in {ALLOW, KILL}), ALLOW)
    return min(answers, key=severity.index)


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

    def test_what_is_not_listed_ends_a_decoder_and_fails_in_a_detector(self, machine: str) -> None:
        for number in (*OTHER_CALLS[machine].values(), 460):
            assert verdict(machine, number) == KILL
            assert verdict(machine, number, otherwise=refused(errno.EPERM)) == refused(errno.EPERM)

    def test_programs_and_sockets_are_refused_while_libraries_load(self, machine: str) -> None:
        for syscall in ("socket", "connect", "execve", "execveat"):
            assert verdict(machine, self.number(machine, syscall), otherwise=ALLOW) == refused(errno.EACCES), syscall

    def test_memory_holds_no_code(self, machine: str) -> None:
        for syscall in ("mmap", "mprotect"):
            number = self.number(machine, syscall)
            assert verdict(machine, number, 0, 4096, 3) == ALLOW
            assert verdict(machine, number, 0, 4096, 5) == KILL

    def test_threads_are_made_but_no_processes_and_no_namespaces(self, machine: str) -> None:
        clone = self.number(machine, "clone")
        assert verdict(machine, clone, CLONE_THREAD) == ALLOW
        assert verdict(machine, clone, 17) == KILL
        for more in (CLONE_NEWUSER, CLONE_PARENT):
            assert verdict(machine, clone, CLONE_THREAD | more) == KILL
        assert verdict(machine, self.number(machine, "clone3")) == refused(errno.ENOSYS)

    def test_only_the_process_itself_is_signalled_and_only_to_abort(self, machine: str) -> None:
        tgkill = self.number(machine, "tgkill")
        assert verdict(machine, tgkill, OWN_PROCESS, 1, 6) == ALLOW
        assert verdict(machine, tgkill, OTHER_PROCESS, 1, 6) == KILL
        assert verdict(machine, tgkill, OWN_PROCESS, 1, 34) == KILL

    @pytest.mark.parametrize(
        ("syscall", "index", "allowed", "other"),
        [
            ("sendto", 3, (0,), (1, 0x4000)),  # MSG_OOB, MSG_NOSIGNAL
            ("sendto", 5, (0,), (110,)),  # the length of an address
            ("recvfrom", 3, (0,), (1, 2)),  # MSG_OOB, MSG_PEEK
            ("mmap", 3, (0x22, 0x2_0022), (0x4_0022, 0x2022)),  # MAP_HUGETLB, MAP_LOCKED
            ("madvise", 2, (4, 8, 14, 15, 102, 103), (12, 21, 100)),  # MERGEABLE, PAGEOUT, HWPOISON
            ("futex", 1, (0, 128, 129, 137, 256 + 128 + 9), (6, 134, 7, 8, 11, 12, 13, 2, 512)),  # with PI
        ],
    )
    def test_calls_are_allowed_as_pixel_work_makes_them(
        self, machine: str, syscall: str, index: int, allowed: tuple[int, ...], other: tuple[int, ...]
    ) -> None:
        number = self.number(machine, syscall)
        for values, answer in ((allowed, ALLOW), (other, KILL)):
            for value in values:
                assert verdict(machine, number, *[0] * index, value) == answer, value

    def test_what_pixel_work_needs_is_allowed(self, machine: str) -> None:
        for syscall in ("futex", "munmap", "recvfrom", "sendto", "exit_group"):
            assert verdict(machine, self.number(machine, syscall)) == ALLOW

    def test_calls_of_another_processor_end_the_process(self, machine: str) -> None:
        i386 = 0x4000_0003
        assert verdict(machine, 1, audit=i386) == KILL


def test_the_x32_numbering_ends_the_process() -> None:
    assert verdict("x86_64", 0x4000_0000 + NUMBERS["read"][0]) == KILL


def test_an_unknown_processor_is_said_to_be_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.machine", lambda: "riscv64")
    with pytest.raises(SandboxUnavailable, match="riscv64"):
        install(LOADING, ALLOW)
