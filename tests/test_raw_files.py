"""The search of raw files."""

import os
from pathlib import Path

import pytest

from adapters import raw_files
from adapters.raw_files import LocalFiles


async def found_in(*places: Path, needle: bytes = b"canary") -> list[str]:
    search = await LocalFiles(lambda: places).search([b"something else", needle])
    return [Path(hit).name for hit in search.hits]


async def test_every_file_is_searched_once_and_counted(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "deep").write_bytes(b"\0\xffa canary\0")
    (tmp_path / "plain").write_bytes(b"nothing")
    (tmp_path / "empty").touch()
    search = await LocalFiles(lambda: (tmp_path, tmp_path / "a", tmp_path / "plain")).search([b"canary"])
    assert search.hits == (str(tmp_path / "a" / "b" / "deep"),)
    assert (search.files, search.size_bytes) == (3, 18)


@pytest.mark.parametrize("begins", range(4085, 4100))
async def test_a_needle_across_two_blocks_is_found(
    tmp_path: Path, begins: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(raw_files, "BLOCK_BYTES", 4096)
    (tmp_path / "file").write_bytes(b"x" * begins + b"canary" + b"x" * 5000)
    assert await found_in(tmp_path) == ["file"]


async def test_what_is_not_there_or_leads_elsewhere_holds_nothing(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_bytes(b"canary")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "link").symlink_to(tmp_path / "elsewhere")
    os.mkfifo(tmp_path / "data" / "pipe")
    assert await found_in(tmp_path / "data", tmp_path / "missing") == []
