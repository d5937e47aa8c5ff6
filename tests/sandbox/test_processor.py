"""The processor with decoders and detectors that fail, hang and lie: what the client hears, and what is left behind."""

import asyncio
import gc
import os
import signal
import subprocess
import sys
import threading
import weakref
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, cast

import pytest

from adapters.sandbox.channel import Channel
from adapters.sandbox.children import Child, StartFailed
from adapters.sandbox.processor import SandboxedPhotoProcessor
from adapters.sandbox.remote_photo import PhotoLimits
from domain.errors import ImageTooLarge, InvalidImage, Overloaded, UnsupportedImageFormat
from tests.patience import PATIENCE_SECONDS, until
from tests.sandbox.pools import (
    SMALL,
    a_pool,
    a_processor,
    answer,
    decoders,
    detectors,
    everybody,
    is_running,
    none_runs,
    parents,
    process_file,
)

DAMAGED = str(InvalidImage())
QUICK = PhotoLimits(cpu_seconds=1, memory_bytes=200_000_000, patience=5, start_seconds=PATIENCE_SECONDS)
A_WHILE = "sleep 1"
"""Long enough to be met at work, also by a test that is not let run for a while."""


def cores_of(process_ids: list[int]) -> list[int]:
    """Without those of processes that have just ended."""
    affinities: list[set[int]] = []
    for process_id in filter(is_running, process_ids):
        with suppress(ProcessLookupError):
            affinities.append(os.sched_getaffinity(process_id))
    return sorted(core for affinity in affinities for core in affinity)


def is_replaced(pool: SandboxedPhotoProcessor, times: int, cores: list[int]) -> bool:
    """So many detectors were, and there is one on each core."""
    return pool.restarts == times and cores_of(detectors(pool)) == cores


async def kill_while_at_work(process_ids: list[int], number: signal.Signals = signal.SIGKILL) -> None:
    for process_id in process_ids:
        os.kill(process_id, number)


class TestAPhoto:
    async def test_is_decoded_in_a_process_of_its_own(self) -> None:
        async with a_pool() as pool:
            process_ids = {await answer(pool, "pid") for _ in range(5)}
            assert len(process_ids) == 5
            await until(lambda: decoders(pool) == [])

    async def test_that_took_over_its_decoder_never_meets_another_photo(self) -> None:
        """Where one process decodes for all, the last line is the second account's photo in the first's hands."""
        async with a_pool() as pool:
            assert await answer(pool, "hoard mine") == "mine"
            assert await answer(pool, "hoard somebody-elses") == "somebody-elses"
            assert await answer(pool, "hoard again") == "again"

    @pytest.mark.parametrize(
        "forgery",
        [
            "nonsense", "length", "order", "other-type", "another-kind", "negative-photo", "half-a-pixel", "no-number",
            "more-than-64-bits", "huge-photo", "unspeakable", "novel", "talkative", "warning", "huge-view", "early-end",
            "other-size", "other-photo", "huge-picture", "trailing", "no-picture",
        ],
    )  # fmt: skip
    async def test_whose_decoder_answers_what_no_honest_one_does_is_refused_and_counted(self, forgery: str) -> None:
        async with a_pool() as pool:
            assert await answer(pool, f"forge {forgery}") == DAMAGED
            assert pool.misbehaved == 1
            assert pool.restarts == 0
            assert await answer(pool, "healthy") == "fine"

    async def test_whose_decoder_answers_by_itself_what_an_honest_one_would_is_kept(self) -> None:
        """The forgeries above are refused for what they say, not for how they come; nobody listens after the answer."""
        async with a_pool() as pool:
            assert await answer(pool, "forge honest") == "fine"
            assert await answer(pool, "forge twice") == "fine"

    @pytest.mark.parametrize("end", ["crash", "abort", "exit 3"])
    async def test_that_crashes_its_decoder_is_damaged_and_costs_nobody_else_anything(self, end: str) -> None:
        async with a_pool(workers=2) as pool:
            photos = [asyncio.create_task(answer(pool, photo)) for photo in ("one", end, "two", end, "three")]
            assert await asyncio.gather(*photos) == ["fine", DAMAGED, "fine", DAMAGED, "fine"]
            assert pool.misbehaved == pool.restarts == 0

    async def test_that_makes_a_forbidden_system_call_is_refused_and_counted(self) -> None:
        async with a_pool() as pool:
            assert await answer(pool, "forbidden") == DAMAGED
            assert pool.misbehaved == 1

    async def test_that_makes_a_crowd_of_threads_is_refused_and_counted(self) -> None:
        """It would take the numbers of all processes of the machine."""
        async with a_pool() as pool:
            assert await answer(pool, "crowd") == DAMAGED
            assert pool.misbehaved == 1
            assert await answer(pool, "healthy") == "fine"

    async def test_that_eats_memory_needs_too_much_of_it(self) -> None:
        async with a_pool() as pool:
            assert "too much memory" in await answer(pool, "eat 400")
            assert await answer(pool, "eat 100") == "fine"

    async def test_keeps_the_reason_for_its_refusal(self) -> None:
        async with a_pool() as pool:
            with pytest.raises(UnsupportedImageFormat):
                await answer(pool, "refuse unsupported")
            with pytest.raises(ImageTooLarge, match="100,000,000"):
                await answer(pool, "refuse large")

    async def test_that_meets_a_bug_of_ours_leaves_no_word_of_itself_in_the_log(
        self, capsys: pytest.CaptureFixture[str]
    ) -> None:
        async with a_pool() as pool:
            assert await answer(pool, "refuse bug") == DAMAGED
        log = capsys.readouterr().out
        assert "KeyError" in log
        assert "secret" not in log


class TestTime:
    async def test_is_cpu_time_a_photo_that_used_its_budget_is_at_fault(self) -> None:
        async with a_pool(
            limits=PhotoLimits(cpu_seconds=1, patience=PATIENCE_SECONDS, start_seconds=PATIENCE_SECONDS)
        ) as pool:
            assert "too long to read" in await answer(pool, "spin 5")

    async def test_that_was_not_the_photos_is_not_its_fault(self) -> None:
        """A decoder that sleeps used no CPU time, like one that a busy machine does not let run."""
        async with a_pool(limits=QUICK) as pool:
            with pytest.raises(Overloaded):
                await answer(pool, "sleep 60")

    async def test_a_decoder_that_was_stopped_is_tried_once_more(self) -> None:
        async with a_pool(limits=QUICK) as pool:
            photo = asyncio.create_task(answer(pool, A_WHILE))
            await until(lambda: len(decoders(pool)) == 1)
            await kill_while_at_work(decoders(pool), signal.SIGSTOP)
            assert await photo == "fine"

    async def test_ends_for_a_decoder_that_answers_byte_by_byte(self) -> None:
        """Or as many photos as there are workers would stop the service for good."""
        async with a_pool(limits=QUICK) as pool:
            with pytest.raises(Overloaded):
                await answer(pool, "drip")
            await until(lambda: pool.busy == 0)

    async def test_an_answer_comes_within_its_own_limit_whatever_hangs(self) -> None:
        """Also the wait for a turn counts."""
        async with a_pool(limits=QUICK) as pool:
            photos = [asyncio.create_task(answer(pool, "sleep 60")) for _ in range(4)]
            _, late = await asyncio.wait(photos, timeout=50)  # none of them would end by itself before 60 s
            assert late == set()
            assert all(isinstance(photo.exception(), Overloaded) for photo in photos)


class TestADeathFromOutside:
    async def test_is_not_the_photos_fault_which_is_tried_again(self) -> None:
        async with a_pool() as pool:
            photo = asyncio.create_task(answer(pool, A_WHILE))
            await until(lambda: len(decoders(pool)) == 1)
            await kill_while_at_work(decoders(pool))
            assert await photo == "fine"

    async def test_every_time_is_an_overload(self) -> None:
        async with a_pool() as pool:
            photo = asyncio.create_task(answer(pool, "sleep 60"))
            await until(lambda: len(decoders(pool)) == 1)
            [first] = decoders(pool)
            os.kill(first, signal.SIGKILL)
            await until(lambda: len(decoders(pool)) == 1 and decoders(pool) != [first])
            await kill_while_at_work(decoders(pool))
            with pytest.raises(Overloaded):
                await photo

    async def test_of_a_parent_costs_one_more_try(self) -> None:
        async with a_pool() as pool:
            photo = asyncio.create_task(answer(pool, A_WHILE))
            await until(lambda: len(decoders(pool)) == 1)
            before = [parents(pool)[0], *decoders(pool)]
            await kill_while_at_work(before[:1])
            assert await photo == "fine"
            await until(lambda: none_runs(before))

    async def test_of_all_detectors_is_healed_without_a_photo(self) -> None:
        async with a_pool(workers=2) as pool:
            before = detectors(pool)
            await kill_while_at_work(before)
            await until(lambda: pool.restarts == 2 and pool.workers_alive == 2)
            assert await answer(pool, "healthy") == "fine"
            assert none_runs(before)

    @pytest.mark.parametrize("workers", [1, 3])
    async def test_of_idle_detectors_does_not_refuse_the_next_photo(self, workers: int) -> None:
        """As by a segmentation fault before the first photo; one after the other is found dead."""
        async with a_pool(workers=workers) as pool:
            await kill_while_at_work(detectors(pool), signal.SIGSEGV)
            assert await answer(pool, "healthy") == "fine"


class TestAHeartbeat:
    async def test_finds_stopped_processes_and_replaces_them(self) -> None:
        async with a_pool() as pool:
            before = everybody(pool)
            await kill_while_at_work(before, signal.SIGSTOP)
            await until(lambda: none_runs(before) and len(everybody(pool)) == 3 and pool.workers_alive == 1)
            assert await answer(pool, "healthy") == "fine"

    async def test_finds_a_parent_that_stopped_while_it_made_a_detector(self, tmp_path: Path) -> None:
        flag = tmp_path / "dawdle"
        limits = PhotoLimits(memory_bytes=200_000_000, start_seconds=15)
        dawdling = ("observer_that_dawdles", str(flag))
        async with a_pool(observer=dawdling, readable_paths=(str(tmp_path),), limits=limits) as pool:
            before = parents(pool)
            flag.touch()
            await kill_while_at_work(first := detectors(pool))
            await until(lambda: detectors(pool) not in ([], first))
            await kill_while_at_work(before[1:], signal.SIGSTOP)
            await until(lambda: pool._detectors._failing)
            flag.unlink()
            await until(lambda: none_runs(before[1:]) and pool.workers_alive == 1)

    async def test_survives_whatever_happens_in_its_own_round(self, monkeypatch: pytest.MonkeyPatch) -> None:
        async with a_pool() as pool:
            with monkeypatch.context() as patch:
                patch.setattr("socket.socketpair", lambda *_: os.open("/nowhere", os.O_RDONLY))
                await kill_while_at_work(detectors(pool))
                await until(lambda: pool.workers_alive == 0)
                with pytest.raises(Overloaded):
                    await pool.check()
            await until(lambda: pool.workers_alive == 1)
            assert await answer(pool, "healthy") == "fine"


class TestADetector:
    @pytest.mark.parametrize(
        "lie",
        [
            "outside",
            "nowhere",
            "no number",
            "half a body",
            "outline",
            "crowd",
            "blur",
            "other photo",
            "endless",
            "window",
            "pixels",
            "measured",
            "nonsense",
            "error",
        ],
    )
    async def test_that_lies_is_replaced_and_what_it_said_goes_nowhere(self, lie: str) -> None:
        async with a_pool(observer=("lying_observer", lie)) as pool:
            with pytest.raises(Overloaded):
                await pool.prepare(b"a photo", crop=True)
            await until(lambda: pool.restarts == 2 and pool.workers_alive == 1)
            assert (await pool.prepare(b"another", crop=False)).facts.crop is None

    @pytest.mark.parametrize("end", ["crash", "threads"])
    async def test_that_two_times_dies_of_a_photo_is_the_photos_fault(self, end: str) -> None:
        async with a_pool(observer=("lying_observer", end)) as pool:
            assert await answer(pool, "a photo") == DAMAGED
            await until(lambda: pool.restarts == 2 and pool.workers_alive == 1)

    async def test_outlives_its_idle_threads(self) -> None:
        async with a_pool(observer=("observer_whose_threads_end", None)) as pool:
            assert await answer(pool, "a photo") == "fine"
            assert pool.restarts == 0

    async def test_outlives_a_photo_that_dies_while_it_looks(self) -> None:
        async with a_pool() as pool:
            [before] = detectors(pool)
            assert await answer(pool, "forge early-end") == DAMAGED
            assert await answer(pool, "healthy") == "fine"
            assert detectors(pool) == [before]

    async def test_stays_on_its_core_and_hands_it_on(self) -> None:
        cores = sorted(os.sched_getaffinity(0))[:2]
        async with a_pool(workers=len(cores), cores=cores) as pool:
            for replaced in range(2):
                await until(partial(is_replaced, pool, replaced, cores))
                await kill_while_at_work(detectors(pool)[-1:])


class TestTooMuchWork:
    async def test_is_refused_beyond_the_queue(self) -> None:
        async with a_pool(max_queued=2) as pool:
            accepted = [asyncio.create_task(answer(pool, A_WHILE)) for _ in range(4)]
            await until(lambda: pool.queued == 2)
            with pytest.raises(Overloaded):
                await answer(pool, "one too many")
            assert await asyncio.gather(*accepted) == ["fine"] * 4

    async def test_has_room_for_one_photo_more_than_there_are_workers(self) -> None:
        """For an account that has none in work."""
        async with a_pool() as pool:
            running = [asyncio.create_task(answer(pool, A_WHILE)) for _ in range(2)]
            await until(lambda: pool.busy == 2)
            assert await asyncio.gather(*running) == ["fine"] * 2

    async def test_that_only_decodes_keeps_no_detector_from_others(self) -> None:
        async with a_pool() as pool:
            slow = asyncio.create_task(answer(pool, "slow"))
            await until(lambda: pool.busy == 1)
            assert await answer(pool, "quick") == "fine"
            assert not slow.done()
            slow.cancel()

    async def test_loses_the_photos_whose_callers_have_given_up(self) -> None:
        class Upload(bytearray):
            """One that can be watched."""

        async with a_pool() as pool:
            running = [asyncio.create_task(answer(pool, A_WHILE)) for _ in range(2)]
            await until(lambda: pool.busy == 2)
            upload = Upload(b"pid")
            watched = weakref.ref(upload)
            waiting = asyncio.create_task(pool.prepare(upload, crop=True))
            await until(lambda: pool.queued == 1)
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
            del upload, waiting
            gc.collect()
            assert watched() is None
            assert pool.queued == 0
            assert await asyncio.gather(*running) == ["fine"] * 2


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
    assert run.stdout.splitlines()[-1].isdigit()


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
