"""Processes of one machine that share what it has, and settings that contradict each other."""

import os
from pathlib import Path

import pytest

from adapters.sandbox import linux
from entrypoints.wiring.environment import ConfigurationError, Problem, load_settings
from entrypoints.wiring.photo_processing import build_processor, default_workers
from entrypoints.wiring.settings import Settings

CORES = len(os.sched_getaffinity(0))
KEY = "k" * 32


def groups(folder: Path, own: str, **files: str) -> dict[str, Path]:
    """A tree of control groups and the file that says which of them are ours; double underscores are slashes."""
    (folder / "own").write_text(own)
    for name, text in files.items():
        path = folder / "cgroups" / name.replace("__", "/").replace("_dot_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n")
    return {"cgroups": folder / "cgroups", "own": folder / "own"}


@pytest.mark.parametrize(
    ("quota", "cores"),
    [("max 100000", CORES), ("50000 100000", 1), ("100000 100000", 1), ("6400000 100000", min(64, CORES)), ("", CORES)],
)
def test_a_container_has_the_cores_that_it_was_given(tmp_path: Path, quota: str, cores: int) -> None:
    assert linux.usable_cores(**groups(tmp_path, "0::/\n", cpu_dot_max=quota)) == cores


def test_quotas_of_every_group_above_count_as_under_systemd_or_with_the_hosts_namespace(tmp_path: Path) -> None:
    own = "0::/system.slice/tryon.service\n"
    where = groups(tmp_path, own, **{"system.slice__cpu_dot_max": "50000 100000"})
    assert linux.usable_cores(**where) == 1
    where = groups(
        tmp_path,
        own,
        **{"system.slice__memory_dot_max": "700000000", "system.slice__tryon.service__memory_dot_max": "max"},
    )
    assert linux.usable_memory_bytes(**where) == 700_000_000


def test_quotas_of_version_1_count(tmp_path: Path) -> None:
    own = "4:memory:/docker/abc\n3:cpu,cpuacct:/docker/abc\n0::/\n"
    where = groups(
        tmp_path,
        own,
        **{
            "cpu,cpuacct__docker__abc__cpu.cfs_quota_us": "50000",
            "cpu,cpuacct__docker__abc__cpu.cfs_period_us": "100000",
            "memory__docker__abc__memory.limit_in_bytes": "600000000",
        },
    )
    assert (linux.usable_cores(**where), linux.usable_memory_bytes(**where)) == (1, 600_000_000)


def test_a_group_outside_of_what_a_container_is_shown_means_the_root_that_it_is_shown(tmp_path: Path) -> None:
    assert linux.usable_cores(**groups(tmp_path, "0::/../../kubepods/pod7\n", cpu_dot_max="50000 100000")) == 1


def test_without_control_groups_all_cores_and_all_memory_count(tmp_path: Path) -> None:
    nowhere = tmp_path / "absent"
    assert linux.usable_cores(nowhere, nowhere) == CORES
    assert linux.usable_memory_bytes(nowhere, nowhere) == os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


@pytest.mark.parametrize(("memory", "workers"), [(300_000_000, 1), (900_000_000, 2), (64_000_000_000, CORES)])
def test_there_are_no_more_workers_than_memory_for_them(
    monkeypatch: pytest.MonkeyPatch, memory: int, workers: int
) -> None:
    monkeypatch.setattr(linux, "usable_memory_bytes", lambda: memory)
    assert default_workers() == min(CORES, workers)


def test_only_who_has_all_the_time_of_its_cores_may_stay_on_them(monkeypatch: pytest.MonkeyPatch) -> None:
    assert set(linux.own_cores()) == os.sched_getaffinity(0) or linux.own_cores() == ()
    monkeypatch.setattr(linux, "usable_cores", lambda: CORES + 1)
    assert linux.own_cores() == ()


@pytest.mark.parametrize(("processes", "shares"), [(1, (4, 32)), (2, (2, 16)), (3, (2, 11)), (8, (1, 4))])
def test_workers_and_upload_slots_are_shared_out(processes: int, shares: tuple[int, int]) -> None:
    settings = Settings(server_processes=processes)
    assert (settings.share(4), settings.share(32)) == shares


def test_workers_keep_to_a_core_each_when_there_is_one_for_each_and_nobody_else_places_some_there() -> None:
    cores = linux.own_cores() or None
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
