"""The search of raw files."""

import errno
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO

import pytest

from adapters import system
from adapters.system import LocalFiles


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
    monkeypatch.setattr(system, "BLOCK_BYTES", 4096)
    (tmp_path / "file").write_bytes(b"x" * begins + b"canary" + b"x" * 5000)
    assert await found_in(tmp_path) == ["file"]


async def test_what_is_not_there_or_leads_elsewhere_holds_nothing(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_bytes(b"canary")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "link").symlink_to(tmp_path / "elsewhere")
    os.mkfifo(tmp_path / "data" / "pipe")
    assert await found_in(tmp_path / "data", tmp_path / "missing") == []


async def test_what_cannot_be_read_is_named_since_it_may_hold_anything(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Root reads everything: a failing disk is read as any user."""
    (tmp_path / "whole").write_bytes(b"a canary")
    (tmp_path / "torn").write_bytes(b"a canary")
    look = system._look_into

    def look_at_a_failing_disk(file: BinaryIO, needles: Sequence[bytes]) -> tuple[bool, int]:
        if file.name.endswith("torn"):
            raise OSError(errno.EIO, "Input/output error")
        return look(file, needles)

    monkeypatch.setattr(system, "_look_into", look_at_a_failing_disk)
    search = await LocalFiles(lambda: (tmp_path,)).search([b"canary"])
    assert (search.hits, search.unread) == ((str(tmp_path / "whole"),), (str(tmp_path / "torn"),))


async def test_a_file_in_a_folder_that_may_be_listed_but_not_entered_is_named_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine").write_bytes(b"a canary")
    (tmp_path / "theirs").write_bytes(b"a canary")
    stat = Path.stat

    def stat_as_somebody_else(path: Path, *, follow_symlinks: bool = True) -> os.stat_result:
        if path.name == "theirs":
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return stat(path, follow_symlinks=follow_symlinks)

    monkeypatch.setattr(Path, "stat", stat_as_somebody_else)
    search = await LocalFiles(lambda: (tmp_path,)).search([b"canary"])
    assert (search.hits, search.unread) == ((str(tmp_path / "mine"),), (str(tmp_path / "theirs"),))


async def test_a_folder_of_another_user_is_named_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    closed = tmp_path / "closed"
    closed.mkdir()
    scan = os.scandir

    def scan_as_somebody_else(folder: str) -> Any:
        if folder == str(closed):
            raise PermissionError(errno.EACCES, "Permission denied", folder)
        return scan(folder)

    monkeypatch.setattr(os, "scandir", scan_as_somebody_else)
    assert (await LocalFiles(lambda: (tmp_path,)).search([b"canary"])).unread == (str(closed),)
