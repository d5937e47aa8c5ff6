"""A clock that is wrong destroys nothing."""

import time
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import msgspec
import pytest

from adapters import system
from adapters.system import ClockReference, WallClockJumps
from application.delete_images import FinishDeletion, PurgeOverdue, TrustedTime
from domain.errors import Overloaded
from tests.builders import NOON, MovableClock, TimeOf, nothing_to_renew
from tests.durability.conftest import world_in_memory


@dataclass
class Theirs:
    """The database's clock."""

    time: datetime = NOON

    async def now(self) -> datetime:
        return self.time


@pytest.mark.parametrize("days", [2, -2])
async def test_a_machine_whose_clock_is_days_off_purges_nothing(days: int) -> None:
    async with world_in_memory() as world:
        await world.upload(b"a living photo", keep_for_days=1)
        wrong = MovableClock(NOON + timedelta(days=days))
        time = TrustedTime(wrong, Theirs(), TimeOf(wrong))
        finish = FinishDeletion(world.objects, world.work, wrong)
        with pytest.raises(Overloaded) as refused:
            await PurgeOverdue(world.work, finish, world.objects, time, nothing_to_renew).execute()
        assert refused.value.cause == "clock"
        assert len(await world.assert_nothing_is_left_behind()) == 1


@pytest.mark.parametrize("seconds", [-5, 0, 5])
async def test_a_few_seconds_are_nothing_and_the_databases_time_counts(seconds: int) -> None:
    ours = MovableClock(NOON + timedelta(seconds=seconds))
    assert await TrustedTime(ours, Theirs(), TimeOf(ours)).now() == NOON


@pytest.mark.parametrize("seconds", [-5.001, 5.001])
async def test_more_than_five_seconds_are_too_many(seconds: float) -> None:
    ours = MovableClock(NOON + timedelta(seconds=seconds))
    with pytest.raises(Overloaded):
        await TrustedTime(ours, Theirs(), TimeOf(ours)).now()


def set_back(file: Path, seconds: float) -> None:
    """As if the wall clock had been set forward since."""
    trusted = msgspec.json.decode(file.read_bytes(), type=ClockReference)
    earlier = ClockReference(trusted.boot_id, trusted.ahead_seconds - seconds)
    file.write_bytes(msgspec.json.encode(earlier))


@pytest.mark.parametrize("seconds", [61, -61, 2 * 86_400])
def test_a_wall_clock_that_was_set_is_not_trusted_until_somebody_says_so(tmp_path: Path, seconds: float) -> None:
    jumps = WallClockJumps(tmp_path / "clock.json")
    jumps.expect_none()
    set_back(tmp_path / "clock.json", seconds)
    for process in (jumps, WallClockJumps(tmp_path / "clock.json")):
        with pytest.raises(Overloaded) as refused:
            process.expect_none()
        assert "--trust-clock" in refused.value.advice
    WallClockJumps(tmp_path / "clock.json").trust()
    jumps.expect_none()


def test_less_than_a_minute_is_a_correction(tmp_path: Path) -> None:
    jumps = WallClockJumps(tmp_path / "clock.json")
    jumps.expect_none()
    set_back(tmp_path / "clock.json", 55)
    jumps.expect_none()


def test_after_a_boot_the_clock_is_trusted_anew(tmp_path: Path) -> None:
    file = tmp_path / "clock.json"
    file.write_bytes(msgspec.json.encode(ClockReference("another boot", 0.0)))
    WallClockJumps(file).expect_none()
    assert msgspec.json.decode(file.read_bytes(), type=ClockReference).boot_id != "another boot"


async def test_a_clock_that_was_set_is_not_trusted_even_if_the_databases_agrees() -> None:
    class WasSet(TimeOf):
        def expect_none(self) -> None:
            raise Overloaded

    clock = MovableClock()
    with pytest.raises(Overloaded):
        await TrustedTime(clock, TimeOf(clock), WasSet(clock)).now()


def test_where_one_boot_looks_like_another_no_jump_is_looked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on macOS."""
    monkeypatch.setattr(system, "BOOT_ID", tmp_path / "missing")
    monkeypatch.delattr(time, "CLOCK_BOOTTIME")
    jumps = WallClockJumps(tmp_path / "clock.json")
    jumps.trust()
    jumps.expect_none()
    assert not (tmp_path / "clock.json").exists()
