"""The processor with decoders and detectors that fail, hang and lie: what the client hears, and what is left behind."""

import asyncio
import gc
import os
import signal
import weakref
from functools import partial
from pathlib import Path

import pytest

from adapters.sandbox.remote_photo import PhotoLimits
from domain.errors import ImageTooLarge, InvalidImage, Overloaded, UnsupportedImageFormat
from tests.patience import PATIENCE_SECONDS, until
from tests.sandbox.pools import (
    A_WHILE,
    QUICK,
    a_pool,
    answer,
    decoders,
    detectors,
    everybody,
    is_replaced,
    kill_while_at_work,
    none_runs,
    parents,
)

DAMAGED = str(InvalidImage())


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
