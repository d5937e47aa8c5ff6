"""Processes of a processor: their start, their end, and all that they have."""

import asyncio
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any, cast

import pytest

from adapters.sandbox.channel import Channel
from adapters.sandbox.children import Child, StartFailed
from adapters.sandbox.remote_photo import PhotoLimits
from domain.errors import Overloaded
from tests.patience import PATIENCE_SECONDS, until
from tests.sandbox.pools import (
    A_WHILE,
    SMALL,
    a_pool,
    a_processor,
    answer,
    decoders,
    detectors,
    everybody,
    is_running,
    kill_while_at_work,
    none_runs,
    parents,
    process_file,
)


class TestStarting:
    async def test_goes_on_with_what_was_launched_before(self) -> None:
        pool = a_processor()
        pool.launch()
        launched = parents(pool)
        await pool.start()
        assert parents(pool) == launched
        assert await answer(pool, "healthy") == "fine"
        await pool.close()
        assert none_runs(launched)

    async def test_gives_the_server_the_first_turn_on_a_busy_core(self) -> None:
        own = os.getpriority(os.PRIO_PROCESS, 0)
        async with a_pool() as pool:
            for process_id in (*parents(pool), *detectors(pool)):
                assert os.getpriority(os.PRIO_PROCESS, process_id) == min(own + 10, 19)

    async def test_is_left_to_the_first_photo_by_who_does_not_serve(self) -> None:
        pool = a_processor()
        assert await asyncio.gather(*[answer(pool, "healthy") for _ in range(3)]) == ["fine"] * 3
        await pool.close()
        with pytest.raises(Overloaded):
            await answer(pool, "too late")

    async def test_need_not_follow_on_a_launch(self) -> None:
        pool = a_processor()
        pool.launch()
        assert all(map(is_running, parents(pool)))
        launched = parents(pool)
        await pool.close()
        assert none_runs(launched)

    @pytest.mark.parametrize(
        ("options", "reason"),
        [
            ({"decoder": ("decoder_that_cannot_load", "no libwebp")}, "FileNotFoundError: no libwebp"),
            ({"observer": ("observer_without_model", "/nowhere/model")}, "/nowhere/model"),
            ({"observer": ("observer_that_dies_at_birth", None)}, "exit code 7"),
            (
                {"observer": ("observer_that_dawdles", "/"), "limits": PhotoLimits(start_seconds=10)},
                "not ready within 10 seconds|parent process did not become ready",  # on a very busy machine
            ),
        ],
    )
    async def test_fails_with_the_reason_and_leaves_nothing_running(
        self, options: dict[str, object], reason: str
    ) -> None:
        pool = a_processor(workers=2, **options)  # type: ignore[arg-type]
        pool.launch()
        launched = parents(pool)
        with pytest.raises(StartFailed, match=reason):
            await pool.start()
        assert none_runs(launched)

    async def test_that_fails_later_refuses_photos_at_once_and_heals(self, tmp_path: Path) -> None:
        model = tmp_path / "model"
        model.touch()
        async with a_pool(observer=("observer_without_model", str(model)), readable_paths=(str(tmp_path),)) as pool:
            model.unlink()
            await kill_while_at_work(detectors(pool))
            await until(lambda: pool.workers_alive == 0)
            with pytest.raises(Overloaded):
                await pool.check()
            async with asyncio.timeout(SMALL.answer_seconds / 2):
                with pytest.raises(Overloaded):
                    await answer(pool, "who waits")
            model.touch()
            await until(lambda: pool.workers_alive == 1)
            assert await answer(pool, "healthy") == "fine"


class TestClosing:
    async def test_finishes_what_runs_refuses_what_waits_and_leaves_no_process(self) -> None:
        pool = a_processor(max_queued=5)
        await pool.start()
        running = [asyncio.create_task(answer(pool, A_WHILE)) for _ in range(2)]
        await until(lambda: len(everybody(pool)) == 5)
        processes = everybody(pool)
        waiting = asyncio.create_task(answer(pool, "who waits"))
        await until(lambda: pool.queued == 1)
        await pool.close()
        assert await asyncio.gather(*running) == ["fine"] * 2
        with pytest.raises(Overloaded):
            await waiting
        await until(lambda: none_runs(processes))
        assert pool.workers_alive == 0

    async def test_does_not_wait_for_what_hangs(self) -> None:
        pool = a_processor()
        await pool.start()
        hanging = asyncio.create_task(answer(pool, "sleep 60"))
        await until(lambda: len(everybody(pool)) == 4)
        processes = everybody(pool)
        await pool.close(grace_seconds=0.1)
        with pytest.raises(Overloaded):
            await hanging
        await until(lambda: none_runs(processes))

    async def test_lets_go_of_a_detector_that_is_ready_a_moment_too_late(self, monkeypatch: pytest.MonkeyPatch) -> None:
        is_ready, goes_on = threading.Event(), threading.Event()
        children: list[Child] = []

        class Late:
            """A channel, but for the moment between hearing that the detector is ready and doing something about it."""

            def __init__(self, channel: Channel) -> None:
                self._channel = channel

            def receive(self, kinds: Any) -> Any:
                said = self._channel.receive(kinds)
                is_ready.set()
                goes_on.wait(PATIENCE_SECONDS)
                return said

            def __getattr__(self, name: str) -> Any:
                return getattr(self._channel, name)

        def made_late() -> Child:
            child = make()
            children.append(child)
            child.channel = cast(Channel, Late(child.channel))
            return child

        pool = a_processor()
        await pool.start()
        make = pool._observers.make
        monkeypatch.setattr(pool._observers, "make", made_late)
        await kill_while_at_work(detectors(pool))
        assert await asyncio.to_thread(is_ready.wait, PATIENCE_SECONDS)
        await pool.close(grace_seconds=0)
        goes_on.set()
        await until(lambda: children[0]._lifeline.fileno() == -1)
        assert pool.workers_alive == 0


class TestWhatAProcessHas:
    async def test_is_nothing_of_the_servers_environment(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("TRYON_SIGNING_KEY", "an-unguessable-key-of-the-server")
        monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", "/an/unguessable/path")
        async with a_pool() as pool:
            environment = await answer(pool, "environment")
        assert "unguessable" not in environment
        assert "OMP_NUM_THREADS=1" in environment

    async def test_is_no_file_and_no_socket_but_its_own_also_with_many_photos_in_work(self) -> None:
        async with a_pool(workers=3) as pool:
            others = [asyncio.create_task(answer(pool, A_WHILE)) for _ in range(2)]
            await until(lambda: len(decoders(pool)) == 2)
            assert await answer(pool, "descriptors") == "0 1 2 3"  # the null device, three times, and its socket
            await asyncio.gather(*others)

    async def test_is_no_right_to_leave_a_core_or_a_file_and_no_capability_and_to_go_first(
        self,
    ) -> None:
        async with a_pool() as pool:
            photo = asyncio.create_task(answer(pool, A_WHILE))
            await until(lambda: any("Seccomp_filters:\t2" in process_file(one, "status") for one in decoders(pool)))
            for process_id in everybody(pool):
                limits = process_file(process_id, "limits")
                of = {line[:26].strip(): line[26:].split()[:2] for line in limits.splitlines()}
                assert of["Max core file size"] == ["0", "0"]
                assert int(process_file(process_id, "oom_score_adj")) > 0
                status = process_file(process_id, "status")
                for kind in ("Inh", "Prm", "Eff", "Bnd", "Amb"):
                    assert f"Cap{kind}:\t0000000000000000" in status
            for process_id in decoders(pool) + detectors(pool):
                assert "Seccomp_filters:\t2" in process_file(process_id, "status")
                limits = process_file(process_id, "limits")
                of = {line[:26].strip(): line[26:].split()[:2] for line in limits.splitlines()}
                assert of["Max file size"] == ["0", "0"]
                assert of["Max address space"][0] == of["Max address space"][1] != "unlimited"
            await photo


WITHOUT_SECCOMP = """
import asyncio, errno, sys
from adapters.sandbox import confinement
from tests.sandbox.pools import a_processor, answer

confinement.NUMBERS["seccomp"] = (317, 277)
refuse = confinement.Rule("seccomp", answer=confinement.REFUSE | errno.EINVAL)
confinement.install((refuse,), confinement.ALLOW)  # as on a kernel without seccomp

async def main():
    pool = a_processor(allow_unsandboxed="allowed" in sys.argv)
    await pool.start()
    print(await answer(pool, "forbidden"))
    await pool.close()

asyncio.run(main())
"""


def without_seccomp(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", WITHOUT_SECCOMP, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=PATIENCE_SECONDS)


def test_where_the_filter_cannot_be_set_nothing_starts_and_the_reason_is_said() -> None:
    run = without_seccomp()
    assert run.returncode == 1
    assert "SandboxRefused: SandboxUnavailable: the kernel refuses the seccomp filter" in run.stderr


def test_where_the_filter_cannot_be_set_but_need_not_be_photos_are_decoded_with_a_warning() -> None:
    run = without_seccomp("allowed")
    assert run.returncode == 0, run.stderr
    assert "photo_processes_unsandboxed" in run.stdout
    assert any(line.isdigit() for line in run.stdout.splitlines())


A_SERVER = """
import asyncio, sys
from tests.patience import until
from tests.sandbox.pools import a_pool, answer, decoders, everybody

async def main():
    async with a_pool(workers=2) as pool:
        photos = [asyncio.create_task(answer(pool, "sleep 60")) for _ in range(2)]
        await until(lambda: len(decoders(pool)) == 2)
        print(*everybody(pool), file=sys.stderr)  # stdout has the log
        await asyncio.gather(*photos)

asyncio.run(main())
"""


def test_a_killed_server_leaves_no_process_behind_even_in_the_middle_of_photos() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", A_SERVER], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as server:
        assert server.stderr is not None
        processes = [int(word) for word in server.stderr.readline().split()]
        assert len(processes) == 6
        assert all(is_running(process_id) for process_id in processes)
        server.kill()
    asyncio.run(until(lambda: none_runs(processes)))
