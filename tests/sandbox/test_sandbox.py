"""What a worker can't do, asked of real workers."""

import errno
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from adapters.sandbox.file_access import landlock_version
from domain.errors import InvalidImage
from tests.sandbox.pools import a_pool, answer, process_file, worker_process_ids

needs_landlock = pytest.mark.skipif(landlock_version() == 0, reason="this kernel has no Landlock")


async def test_no_thread_of_a_worker_gets_a_socket_of_any_family() -> None:
    async with a_pool() as pool:
        assert await answer(pool, "sockets") == (
            "AF_INET 13 AF_INET6 13 AF_UNIX 13 AF_NETLINK 13 AF_PACKET 13"  # EACCES
        )


async def test_a_worker_starts_no_program_and_no_child_and_signals_nobody() -> None:
    async with a_pool() as pool:
        assert (await answer(pool, "run /bin/true")).startswith("refused")
        assert await answer(pool, "fork") == f"refused: {errno.EPERM}"
        assert await answer(pool, f"signal {os.getpid()}") == f"refused: {errno.EPERM}"


async def test_a_worker_may_load_the_systems_decoder() -> None:
    async with a_pool() as pool:
        assert await answer(pool, "load libturbojpeg.so.0") == "allowed"


async def test_io_uring_which_would_open_sockets_unseen_does_not_exist() -> None:
    async with a_pool() as pool:
        assert await answer(pool, "syscall 425 1 0") == str(errno.ENOSYS)


async def test_a_worker_changes_no_limit_of_the_server_but_may_ask_for_its_own() -> None:
    prlimit64 = 302 if os.uname().machine == "x86_64" else 261
    async with a_pool() as pool:
        assert await answer(pool, f"syscall {prlimit64} {os.getpid()} 7 0 0") == str(errno.EPERM)
        assert await answer(pool, f"syscall {prlimit64} 0 7 0 0") == "done"


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="x32 is a way into x86_64 kernels only")
async def test_a_system_call_in_the_x32_numbering_ends_the_worker_and_the_next_photo_is_fine() -> None:
    async with a_pool() as pool:
        with pytest.raises(InvalidImage):
            await answer(pool, f"syscall {0x4000_0000 + 41} 2 1 0")
        assert await answer(pool, "healthy") == "healthy"


@needs_landlock
async def test_a_worker_reads_what_it_was_given_and_its_libraries_but_nothing_else(tmp_path: Path) -> None:
    models, photos = tmp_path / "models", tmp_path / "photos"
    for folder in (models, photos):
        folder.mkdir()
        (folder / "file").write_bytes(b"x")
    async with a_pool(readable_paths=(str(models),)) as pool:
        assert await answer(pool, f"read {models}/file") == "allowed"
        assert await answer(pool, f"read {subprocess.__file__}") == "allowed"
        for path in (f"{photos}/file", "/etc/passwd", f"/proc/{os.getpid()}/environ", f"/proc/{os.getpid()}/maps"):
            assert await answer(pool, f"read {path}") == f"refused: {errno.EACCES}", path
        assert await answer(pool, f"write {models}/file") == f"refused: {errno.EACCES}"


async def test_the_environment_of_the_server_stays_in_the_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRYON_SIGNING_KEY", "an-unguessable-key-of-the-server")
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", "/an/unguessable/path")
    async with a_pool() as pool:
        environment = await answer(pool, "environment")
    assert "unguessable" not in environment
    assert "MALLOC_ARENA_MAX=2" in environment


async def test_a_worker_inherits_no_open_file_or_socket_of_the_server(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener, (tmp_path / "database").open("wb") as database:
        listener.set_inheritable(True)
        os.set_inheritable(database.fileno(), True)
        async with a_pool() as pool:
            assert await answer(pool, "descriptors") == "device device device socket"


async def test_a_worker_leaves_no_core_writes_no_file_and_goes_first_when_memory_runs_out() -> None:
    async with a_pool() as pool:
        limits = process_file(worker_process_ids(pool)[0], "limits")
        score = process_file(worker_process_ids(pool)[0], "oom_score_adj")
    of = {line[:26].strip(): line[26:].split()[:2] for line in limits.splitlines()}
    assert int(score) > 0
    assert of["Max core file size"] == ["0", "0"]
    assert of["Max file size"] == ["0", "0"]
    assert of["Max address space"][0] == of["Max address space"][1] != "unlimited"


WITHOUT_SECCOMP = """
import asyncio, errno, sys
from adapters.sandbox import syscall_filter
from adapters.sandbox.worker_pool import WorkerPool
from tests.sandbox.preparers import obedient

syscall_filter.NUMBERS["prctl"] = (157, 167)
syscall_filter.install((syscall_filter.Denial("prctl", errno.EINVAL),))  # as on a kernel without seccomp

async def main():
    pool = WorkerPool(obedient, workers=1, max_queued=1, allow_unsandboxed="allowed" in sys.argv)
    await pool.start()
    print((await pool.prepare(b"sockets", crop=True)).jpeg.decode())
    await pool.close()

asyncio.run(main())
"""


def without_seccomp(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", WITHOUT_SECCOMP, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


def test_where_the_filter_cannot_be_set_the_pool_refuses_to_start_and_says_why() -> None:
    run = without_seccomp()
    assert run.returncode == 1
    assert "SandboxRefused: SandboxUnavailable: the kernel refuses the seccomp filter" in run.stderr


def test_where_the_filter_cannot_be_set_but_need_not_be_the_pool_starts_and_warns() -> None:
    run = without_seccomp("allowed")
    assert run.returncode == 0, run.stderr
    assert "photo_workers_unsandboxed" in run.stdout
    assert "AF_UNIX opened" in run.stdout
