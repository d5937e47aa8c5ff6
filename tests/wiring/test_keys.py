"""Keys that the service keeps by itself."""

import os
import stat
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from entrypoints.wiring.container import Storage
from entrypoints.wiring.environment import ConfigurationError, load_settings
from entrypoints.wiring.keys import PSEUDONYM_FILE, SIGNING_FILE, pseudonyms, signing_ring
from entrypoints.wiring.settings import Settings

Ring = Callable[[Settings], tuple[bytes, ...]]
RINGS = [(signing_ring, SIGNING_FILE), (lambda settings: pseudonyms(settings).ring, PSEUDONYM_FILE)]


@pytest.mark.parametrize(("ring", "name"), RINGS, ids=[SIGNING_FILE, PSEUDONYM_FILE])
def test_it_is_made_once_for_all_who_ask_at_once_and_for_this_user_only(tmp_path: Path, ring: Ring, name: str) -> None:
    settings = Settings(data_dir=tmp_path / "data")
    with ThreadPoolExecutor(8) as pool:
        keys = set(pool.map(lambda _: ring(settings), range(32)))
    ((key,),) = keys
    assert len(key) >= 32
    assert [path.name for path in settings.data_dir.iterdir()] == [name]
    assert stat.S_IMODE((settings.data_dir / name).stat().st_mode) == 0o600


def test_a_pseudonym_key_that_a_power_cut_left_short_is_not_made_again(tmp_path: Path) -> None:
    (tmp_path / PSEUDONYM_FILE).write_bytes(b"x" * 31)
    with pytest.raises(ConfigurationError, match="Put the file back"):
        pseudonyms(Settings(data_dir=tmp_path))
    assert pseudonyms(Settings(pseudonym_key="n" * 40 + "," + "o" * 40)).ring == (b"n" * 40, b"o" * 40)


def test_it_is_on_the_disk_before_it_has_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []
    fsync, link = os.fsync, os.link

    def flushing(descriptor: int) -> None:
        order.append("flush")
        fsync(descriptor)

    def naming(old: Path, new: Path) -> None:
        order.append("name")
        link(old, new)

    monkeypatch.setattr(os, "fsync", flushing)
    monkeypatch.setattr(os, "link", naming)
    signing_ring(Settings(data_dir=tmp_path))
    assert order == ["flush", "name", "flush"]


@pytest.mark.parametrize("content", [b"", b"\n" * 64, b"x" * 31])
def test_one_that_a_power_cut_left_short_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / SIGNING_FILE).write_bytes(content)
    with pytest.raises(ConfigurationError) as refused:
        signing_ring(Settings(data_dir=tmp_path))
    (problem,) = refused.value.problems
    assert problem.variable == "TRYON_SIGNING_KEY"
    assert "Delete the file" in problem.takes


def noise(file: Path) -> None:
    file.write_bytes(b"\xff\xfe" * 40)


def link_that_leads_nowhere(file: Path) -> None:
    file.symlink_to(file.parent / "absent" / "key")


@pytest.mark.parametrize("damage", [noise, link_that_leads_nowhere, Path.mkdir])
@pytest.mark.parametrize(("ring", "name"), RINGS, ids=[SIGNING_FILE, PSEUDONYM_FILE])
def test_one_that_cannot_be_read_is_told(tmp_path: Path, ring: Ring, name: str, damage: Callable[[Path], None]) -> None:
    damage(tmp_path / name)
    with pytest.raises(ConfigurationError) as refused:
        ring(Settings(data_dir=tmp_path))
    (problem,) = refused.value.problems
    assert problem.holds == str(tmp_path / name)


def test_with_a_bucket_that_serves_links_nothing_is_written(tmp_path: Path) -> None:
    settings = Settings(
        data_dir=tmp_path / "absent", storage_url="gs://photos", database_url="postgresql+asyncpg://x/y"
    )
    Storage(settings).own_links()
    assert not settings.data_dir.exists()


def test_a_ring_may_be_a_setting_or_the_content_of_the_file(tmp_path: Path) -> None:
    new, old = "n" * 40, "o" * 40
    for text in (f"{new},{old}", f"{new}, {old}", f"{new}\n{old}\n"):
        assert signing_ring(Settings(signing_key=text)) == (new.encode(), old.encode())
        (tmp_path / SIGNING_FILE).write_text(text)
        assert signing_ring(Settings(data_dir=tmp_path)) == (new.encode(), old.encode())


def test_every_key_of_a_ring_is_long() -> None:
    with pytest.raises(ConfigurationError) as refused:
        load_settings({"TRYON_SIGNING_KEY": "n" * 40 + ",short"})
    assert "at least 32 characters" in str(refused.value)
    assert "short" not in str(refused.value)
