"""How the processes of one machine share what it has, and which settings contradict each other."""

import os
from pathlib import Path

import pytest

from entrypoints.server.cores import own_cores, usable_cores
from entrypoints.wiring.environment import ConfigurationError, Problem, load_settings
from entrypoints.wiring.photo_processing import build_processor
from entrypoints.wiring.settings import Settings

CORES = len(os.sched_getaffinity(0))
KEY = "k" * 32


@pytest.mark.parametrize(
    ("cpu_max", "cores"),
    [("max 100000", CORES), ("50000 100000", 1), ("100000 100000", 1), ("6400000 100000", min(64, CORES))],
)
def test_a_container_has_the_cores_that_it_was_given(tmp_path: Path, cpu_max: str, cores: int) -> None:
    file = tmp_path / "cpu.max"
    file.write_text(cpu_max + "\n")
    assert usable_cores(file) == cores


def test_only_who_has_all_the_time_of_its_cores_may_stay_on_them(tmp_path: Path) -> None:
    file = tmp_path / "cpu.max"
    file.write_text(f"{CORES}00000 100000\n")
    assert set(own_cores(file)) == set(own_cores(tmp_path / "absent")) == os.sched_getaffinity(0)
    assert len(own_cores(file)) == CORES
    if CORES > 1:
        file.write_text(f"{CORES - 1}00000 100000\n")
        assert own_cores(file) == ()


def test_without_a_control_group_all_cores_count(tmp_path: Path) -> None:
    assert usable_cores(tmp_path / "absent") == CORES


@pytest.mark.parametrize(("processes", "shares"), [(1, (4, 32)), (2, (2, 16)), (3, (2, 11)), (8, (1, 4))])
def test_workers_and_upload_slots_are_shared_out(processes: int, shares: tuple[int, int]) -> None:
    settings = Settings(server_processes=processes)
    assert (settings.share(4), settings.share(32)) == shares


def test_workers_keep_to_a_core_each_when_there_is_one_for_each_and_nobody_else_places_some_there() -> None:
    cores = own_cores() or None
    assert build_processor(Settings()).cores == cores
    assert build_processor(Settings(workers=CORES)).cores == cores
    assert build_processor(Settings(workers=CORES + 1)).cores is None
    assert build_processor(Settings(server_processes=2)).cores is None


def problems(**environ: str) -> tuple[Problem, ...]:
    with pytest.raises(ConfigurationError) as raised:
        load_settings({f"TRYON_{name.upper()}": value for name, value in environ.items()})
    return raised.value.problems


def test_a_bucket_needs_neither_a_signing_key_nor_the_preview_route() -> None:
    settings = load_settings({"TRYON_STORAGE_URL": "gs://photos/shop"})
    assert not settings.keeps_files
    assert not settings.serves_previews


def test_replicas_that_serve_previews_have_to_share_a_key() -> None:
    (problem,) = problems(storage_url="gs://photos", preview_links="service")
    assert problem.variable == "TRYON_SIGNING_KEY"
    assert "all replicas have to share it" in problem.takes
    with_key = {"TRYON_STORAGE_URL": "gs://photos", "TRYON_PREVIEW_LINKS": "service", "TRYON_SIGNING_KEY": KEY}
    assert load_settings(with_key).serves_previews


def test_a_folder_cannot_serve_previews() -> None:
    (problem,) = problems(preview_links="storage")
    assert (problem.variable, problem.holds) == ("TRYON_PREVIEW_LINKS", "storage")


@pytest.mark.parametrize("url", ["gs://", "gs://UPPER", "s3://photos", "photos", "file://photos"])
def test_a_storage_url_is_a_folder_or_a_bucket(url: str) -> None:
    (problem,) = problems(storage_url=url)
    assert problem.takes == "file:///absolute/folder or gs://bucket/prefix"


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("worker", "did you mean TRYON_WORKERS?"),
        ("db_url", "did you mean TRYON_DATABASE_URL?"),
        ("redis_url", "docs/settings.md has all of them"),  # PostgreSQL counts; TRYON_ENGINE_URL would be no help
    ],
)
def test_an_unknown_setting_is_refused_and_one_that_is_nearly_right_is_named(name: str, advice: str) -> None:
    (problem,) = problems(**{name: "4"})
    assert (problem.variable, problem.takes) == (f"TRYON_{name.upper()}", f"nothing: it is no setting; {advice}")
