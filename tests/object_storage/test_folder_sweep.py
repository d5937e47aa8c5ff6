"""The net below the database: what outlived its retention class goes by its age alone."""

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from adapters.object_storage.folder import FolderObjectStore
from domain.errors import Overloaded

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)


async def given(store: FolderObjectStore, root: Path, name: str, *, age: timedelta) -> None:
    await store.put(name, b"a photo")
    os.utime(root / name, ((NOW - age).timestamp(),) * 2)


async def names(store: FolderObjectStore) -> list[str]:
    return [name async for name in store.names()]


async def test_an_object_older_than_its_class_and_a_day_goes_and_no_younger_one(tmp_path: Path) -> None:
    root = tmp_path / "objects"
    store = FolderObjectStore(root)
    a_minute, a_day = timedelta(minutes=1), timedelta(days=1)
    await given(store, root, "ttl-1d/img_old.jpg", age=2 * a_day + a_minute)
    await given(store, root, "ttl-1d/img_young.jpg", age=2 * a_day - a_minute)
    await given(store, root, "ttl-7d/img_old.jpg", age=8 * a_day + a_minute)
    await given(store, root, "ttl-7d/img_young.jpg", age=8 * a_day - a_minute)
    await store.sweep(NOW)
    assert await names(store) == ["ttl-1d/img_young.jpg", "ttl-7d/img_young.jpg"]


async def test_files_that_are_none_of_ours_stay(tmp_path: Path) -> None:
    root = tmp_path / "objects"
    store = FolderObjectStore(root)
    await given(store, root, "ttl-forever-d/img_1.jpg", age=timedelta(days=400))
    await store.sweep(NOW)
    assert (root / "ttl-forever-d/img_1.jpg").exists()


async def test_a_folder_inside_stays_and_stops_no_sweep(tmp_path: Path) -> None:
    """As a storage system makes one in each of its folders."""
    root = tmp_path / "objects"
    store = FolderObjectStore(root)
    await given(store, root, "ttl-1d/img_old.jpg", age=timedelta(days=9))
    for folder in (root / "ttl-1d/@eaDir", root / "incoming/@eaDir"):
        folder.mkdir()
        os.utime(folder, (0, 0))
    await store.sweep(NOW)
    assert await names(store) == ["ttl-1d/@eaDir"]


async def test_a_folder_that_cannot_be_read_keeps_no_other_from_its_sweep(tmp_path: Path) -> None:
    root = tmp_path / "objects"
    store = FolderObjectStore(root)
    for days in (1, 3):
        await given(store, root, f"ttl-{days}d/img_old.jpg", age=timedelta(days=9))
    (root / "ttl-2d").write_bytes(b"no folder")
    with pytest.raises(Overloaded):
        await store.sweep(NOW)
    assert not any(root.glob("ttl-*/*.jpg"))
