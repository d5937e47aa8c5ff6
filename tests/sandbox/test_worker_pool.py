"""The pool under photos that crash, hang and gorge, under kill -9, and under more work than it takes."""

import asyncio
import functools
import gc
import os
import random
import signal
import statistics
import subprocess
import sys
import time
import weakref
from pathlib import Path

import pytest
import structlog

from adapters.sandbox.fork_server_client import WorkerStartFailed
from adapters.sandbox.worker_pool import WorkerLimits, WorkerPool
from domain.errors import ImageTooLarge, InvalidImage, Overloaded, UnsupportedImageFormat
from tests.sandbox.pools import SMALL, a_pool, answer, is_running, none_runs, until, worker_process_ids
from tests.sandbox.preparers import a_prepared_photo, dies_at_birth, healthy_while, never_ready, obedient, without_model


class TestAPhotoAndItsResult:
    async def test_all_that_is_known_of_a_photo_comes_back_with_it(self) -> None:
        photo = random.Random(1).randbytes(4_000_000)
        async with a_pool() as pool:
            assert await pool.prepare(photo, crop=True) == a_prepared_photo(photo)
            assert await pool.prepare(bytearray(photo), crop=False) == a_prepared_photo(photo[::-1])
            assert await pool.prepare(memoryview(photo)[7:], crop=True) == a_prepared_photo(photo[7:])
            assert await pool.prepare(b"", crop=True) == a_prepared_photo(b"")

    async def test_refusals_arrive_as_the_errors_that_they_are(self) -> None:
        async with a_pool() as pool:
            with pytest.raises(UnsupportedImageFormat):
                await answer(pool, "refuse unsupported")
            with pytest.raises(InvalidImage, match="ends in the middle"):
                await answer(pool, "refuse invalid")
            with pytest.raises(ImageTooLarge, match="100,000,000 pixels; the limit is 64,000,000"):
                await answer(pool, "refuse large")
            assert pool.restarts == 0

    async def test_an_unexpected_error_is_logged_by_kind_and_place_but_without_its_text(self) -> None:
        async with a_pool() as pool:
            with structlog.testing.capture_logs() as logs, pytest.raises(InvalidImage):
                await answer(pool, "refuse bug")
            assert await answer(pool, "healthy") == "healthy"
        [event] = [entry for entry in logs if entry["event"] == "photo_worker_error"]
        assert event["error"] == "KeyError"
        assert event["where"].endswith("refuse")
        assert "secret" not in str(logs)


class TestAPhotoThatDoesHarm:
    @pytest.mark.parametrize("photo", ["crash", "abort", "exit 3", "eat 400"])
    async def test_costs_itself_only(self, photo: str) -> None:
        async with a_pool(workers=2) as pool:
            others = [asyncio.create_task(answer(pool, f"sleep 0.{n}")) for n in range(1, 6)]
            with pytest.raises(InvalidImage):
                await answer(pool, photo)
            assert await asyncio.gather(*others) == ["slept"] * 5
            assert await answer(pool, "healthy") == "healthy"
            await until(lambda: pool.workers_alive == 2)

    async def test_is_stopped_when_its_time_is_up_and_the_time_spent_waiting_does_not_count(self) -> None:
        limits = WorkerLimits(photo_seconds=1)
        async with a_pool(limits=limits) as pool:
            patient = [asyncio.create_task(answer(pool, "sleep 0.4")) for _ in range(3)]
            assert await asyncio.gather(*patient) == ["slept"] * 3
            [hanging] = worker_process_ids(pool)
            with pytest.raises(InvalidImage, match="too long"):
                await answer(pool, "sleep 60")
            assert await answer(pool, "healthy") == "healthy"
            assert not is_running(hanging)

    @pytest.mark.parametrize("answer_sent", ["nonsense", "size", "pickle"])
    async def test_cannot_make_the_server_swallow_a_forged_answer(self, answer_sent: str) -> None:
        async with a_pool() as pool:
            with pytest.raises(Overloaded):
                await answer(pool, f"forge {answer_sent}")
            assert await answer(pool, "healthy") == "healthy"

    async def test_is_not_blamed_for_what_an_earlier_one_left_behind(self) -> None:
        async with a_pool() as pool:
            assert await answer(pool, "eat 120") == "ate"
            assert await answer(pool, "eat 130") == "ate"  # together more than the limit: a fresh worker did it
            assert pool.restarts == 1

    async def test_leaves_the_latency_of_the_others_as_it_was(self) -> None:
        async def median_seconds() -> float:
            seconds = []
            for _ in range(15):
                begun = time.perf_counter()
                await pool.prepare(bytes(1_000_000), crop=True)
                seconds.append(time.perf_counter() - begun)
            return statistics.median(seconds)

        async with a_pool(limits=WorkerLimits(photo_seconds=0.5, photo_memory_bytes=200_000_000)) as pool:
            before = await median_seconds()
            for photo in ("crash", "eat 400", "sleep 60", "exit 0"):
                with pytest.raises(InvalidImage):
                    await answer(pool, photo)
            await answer(pool, "healthy")
            assert await median_seconds() < 5 * before + 0.02  # generous: the machine may be busy with other tests


class TestAWorkerKilledFromOutside:
    async def test_in_the_middle_of_a_photo_costs_nobody_anything(self) -> None:
        async with a_pool(workers=2) as pool:
            photos = [asyncio.create_task(answer(pool, "sleep 0.2")) for _ in range(8)]
            await until(lambda: pool.queued == 6)
            os.kill(worker_process_ids(pool)[0], signal.SIGKILL)
            assert await asyncio.gather(*photos) == ["slept"] * 8
            assert pool.restarts == 1

    async def test_every_time_is_our_fault_and_not_the_photos(self) -> None:
        async with a_pool() as pool:
            photo = asyncio.create_task(answer(pool, "sleep 60"))
            for _ in range(2):
                await until(lambda: pool.busy == 1 and len(worker_process_ids(pool)) == 1)
                [victim] = worker_process_ids(pool)
                os.kill(victim, signal.SIGKILL)
                await until(lambda victim=victim: victim not in worker_process_ids(pool))  # type: ignore[misc]  # mypy cannot type a default
            with pytest.raises(Overloaded):
                await photo
            assert await answer(pool, "healthy") == "healthy"

    async def test_while_idle_is_replaced_at_once(self) -> None:
        async with a_pool(workers=2) as pool:
            for victim in worker_process_ids(pool):
                os.kill(victim, signal.SIGKILL)
            await until(lambda: pool.restarts == 2 and pool.workers_alive == 2)
            assert await answer(pool, "healthy") == "healthy"

    async def test_together_with_the_fork_server_comes_back_with_a_new_one(self) -> None:
        async with a_pool(workers=2) as pool:
            photos = [asyncio.create_task(answer(pool, "sleep 0.2")) for _ in range(4)]
            await until(lambda: pool.queued == 2)
            before = [pool.fork_server_process_id or 0, *worker_process_ids(pool)]
            os.kill(before[0], signal.SIGKILL)
            assert await asyncio.gather(*photos) == ["slept"] * 4
            assert none_runs(before)


class TestAWornWorker:
    async def test_is_replaced_after_so_many_photos(self) -> None:
        async with a_pool(limits=WorkerLimits(photos_per_worker=2)) as pool:
            process_ids = [await answer(pool, "pid") for _ in range(5)]
        assert process_ids[0] == process_ids[1] != process_ids[2] == process_ids[3] != process_ids[4]

    async def test_is_replaced_when_it_keeps_too_much_memory(self) -> None:
        async with a_pool(limits=WorkerLimits(resident_bytes=150_000_000)) as pool:
            first = await answer(pool, "pid")
            assert await answer(pool, "eat 10") == "ate"
            assert await answer(pool, "pid") == first
            assert await answer(pool, "eat 150") == "ate"
            assert await answer(pool, "pid") != first


def cores_of_the_workers(pool: WorkerPool) -> list[set[int]]:
    return sorted((os.sched_getaffinity(worker) for worker in worker_process_ids(pool)), key=sorted)


class TestAWorkersCore:
    async def test_is_its_own_and_is_inherited_by_whoever_replaces_it(self) -> None:
        cores = sorted(os.sched_getaffinity(0))[:2]
        async with a_pool(workers=len(cores), cores=cores) as pool:
            for restarts in range(3):
                await until(lambda restarts=restarts: pool.restarts == restarts)  # type: ignore[misc]  # mypy cannot type a default
                assert cores_of_the_workers(pool) == [{core} for core in cores]
                os.kill(worker_process_ids(pool)[-1], signal.SIGKILL)

    async def test_is_any_when_the_one_that_it_was_given_is_not_there(self) -> None:
        async with a_pool(cores=[9_999]) as pool:
            assert cores_of_the_workers(pool) == [os.sched_getaffinity(0)]

    async def test_is_any_unless_one_is_named(self) -> None:
        async with a_pool() as pool:
            assert cores_of_the_workers(pool) == [os.sched_getaffinity(0)]


class TestTooMuchWork:
    async def test_is_refused_beyond_the_queue(self) -> None:
        async with a_pool(max_queued=2) as pool:
            accepted = [asyncio.create_task(answer(pool, "sleep 0.1")) for _ in range(3)]
            await until(lambda: pool.queued == 2)
            with pytest.raises(Overloaded):
                await answer(pool, "one too many")
            assert await asyncio.gather(*accepted) == ["slept"] * 3
            assert await answer(pool, "healthy") == "healthy"

    async def test_loses_the_photos_whose_callers_have_given_up(self) -> None:
        class Upload(bytearray):
            """One that can be watched."""

        async with a_pool() as pool:
            running = asyncio.create_task(answer(pool, "sleep 0.3"))
            await until(lambda: pool.busy == 1)
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
            assert await running == "slept"

    async def test_goes_on_when_the_caller_of_the_photo_in_work_has_given_up(self) -> None:
        async with a_pool() as pool:
            process_id = await answer(pool, "pid")
            running = asyncio.create_task(answer(pool, "sleep 0.2"))
            await until(lambda: pool.busy == 1)
            running.cancel()
            assert await answer(pool, "pid") == process_id
            assert pool.restarts == 0


class TestStarting:
    async def test_goes_on_with_what_was_launched_before(self) -> None:
        pool = WorkerPool(obedient, workers=2, max_queued=1)
        pool.launch()
        launched = pool.fork_server_process_id
        await pool.start()
        assert pool.fork_server_process_id == launched
        assert await answer(pool, "healthy") == "healthy"
        await pool.close()
        assert none_runs([launched or 0])

    async def test_need_not_follow_on_a_launch(self) -> None:
        pool = WorkerPool(obedient, workers=2, max_queued=1)
        pool.launch()
        launched = pool.fork_server_process_id or 0
        assert is_running(launched)
        await pool.close()
        assert not is_running(launched)

    async def test_fails_with_the_reason_why_a_worker_cannot_work(self) -> None:
        with pytest.raises(WorkerStartFailed, match=r"No model at /models/face\.tflite"):
            await WorkerPool(without_model, workers=2, max_queued=1).start()

    async def test_fails_when_a_worker_ends_while_starting(self) -> None:
        with pytest.raises(WorkerStartFailed, match="exit code 7"):
            await WorkerPool(dies_at_birth, workers=1, max_queued=1).start()

    async def test_fails_when_a_worker_is_not_ready_in_time_and_leaves_nothing_running(self) -> None:
        pool = WorkerPool(never_ready, workers=2, max_queued=1, limits=WorkerLimits(start_seconds=1.5))
        with pytest.raises(WorkerStartFailed, match=r"not ready within 1\.5 seconds"):
            await pool.start()
        assert none_runs([pool.fork_server_process_id or 0])

    async def test_a_pool_that_can_start_no_worker_any_more_says_so_and_heals(self, tmp_path: Path) -> None:
        model = tmp_path / "model"
        model.touch()
        async with a_pool(functools.partial(healthy_while, str(model))) as pool:
            model.unlink()
            with pytest.raises(InvalidImage):
                await answer(pool, "crash")
            with pytest.raises(Overloaded):
                await answer(pool, "who waits")
            assert pool.workers_alive == 0
            model.touch()
            await until(lambda: pool.workers_alive == 1)
            assert await answer(pool, "healthy") == "healthy"


class TestClosing:
    async def test_finishes_what_runs_refuses_what_waits_and_leaves_no_process(self) -> None:
        pool = WorkerPool(factory=obedient, workers=1, max_queued=5)
        await pool.start()
        processes = [pool.fork_server_process_id or 0, *worker_process_ids(pool)]
        running = asyncio.create_task(answer(pool, "sleep 0.3"))
        await until(lambda: pool.busy == 1)
        waiting = asyncio.create_task(answer(pool, "who waits"))
        await until(lambda: pool.queued == 1)
        await pool.close()
        assert await running == "slept"
        with pytest.raises(Overloaded):
            await waiting
        with pytest.raises(Overloaded):
            await answer(pool, "too late")
        assert none_runs(processes)
        assert pool.workers_alive == 0

    async def test_does_not_wait_for_what_hangs(self) -> None:
        pool = WorkerPool(factory=obedient, workers=1, max_queued=5, limits=SMALL)
        await pool.start()
        processes = [pool.fork_server_process_id or 0, *worker_process_ids(pool)]
        hanging = asyncio.create_task(answer(pool, "sleep 60"))
        await until(lambda: pool.busy == 1)
        await pool.close(grace_seconds=0.1)
        with pytest.raises(Overloaded):
            await hanging
        assert none_runs(processes)


A_SERVER = """
import asyncio, sys
from tests.sandbox.pools import a_pool, answer, until, worker_process_ids

async def main():
    async with a_pool(workers=2) as pool:
        photos = [asyncio.create_task(answer(pool, "sleep 60")) for _ in range(2)]
        await until(lambda: pool.busy == 2)
        print(pool.fork_server_process_id, *worker_process_ids(pool), file=sys.stderr)  # stdout has the log
        await asyncio.gather(*photos)

asyncio.run(main())
"""


def test_a_killed_server_leaves_no_process_behind_even_in_the_middle_of_photos() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", A_SERVER], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as server:
        assert server.stderr is not None
        processes = [int(word) for word in server.stderr.readline().split()]
        assert len(processes) == 3
        assert all(is_running(process_id) for process_id in processes)
        server.kill()
    asyncio.run(until(lambda: none_runs(processes)))
