"""A folder that is not mounted is an outage, not an empty store."""

import asyncio
import os
import shutil
from pathlib import Path

import pytest

from adapters.object_storage.folder import FolderObjectStore
from domain.errors import Overloaded
from tests.builders import NOON, a_customer, a_database_with_accounts
from tests.durability.world import World

NAME = "ttl-7d/img_1.jpg"


async def no() -> bool:
    return False


async def test_without_its_marker_nothing_is_written_read_listed_or_counted_as_deleted(tmp_path: Path) -> None:
    store = FolderObjectStore(tmp_path, may_be_new=no)
    for attempt in (store.put(NAME, b"x"), store.get(NAME), store.check(), anext(store.names())):
        with pytest.raises(Overloaded) as refused:
            await attempt
        assert refused.value.cause == "not_mounted"
    assert await store.delete([NAME]) == {NAME}
    assert await asyncio.to_thread(os.listdir, tmp_path) == []


async def test_a_file_system_that_answers_nothing_but_errors_is_an_outage_at_every_call(tmp_path: Path) -> None:
    store = FolderObjectStore(tmp_path / ("x" * 300))  # as of a failing disk, not even whether it exists can be asked
    attempts = (store.put(NAME, b"x"), store.get(NAME), store.check(), anext(store.names()), store.sweep(NOON))
    for attempt in attempts:
        with pytest.raises(Overloaded):
            await attempt
    assert await store.delete([NAME]) == {NAME}


async def test_a_folder_of_an_earlier_version_gets_its_marker(tmp_path: Path) -> None:
    (tmp_path / "ttl-7d").mkdir()
    (tmp_path / NAME).write_bytes(b"kept before there were markers")
    store = FolderObjectStore(tmp_path, may_be_new=no)
    assert await store.delete([NAME]) == frozenset()
    assert [name async for name in store.names()] == []


async def test_an_erasure_is_complete_only_when_the_folder_is_mounted_again(tmp_path: Path) -> None:
    root, elsewhere = tmp_path / "objects", tmp_path / "unmounted"
    work = await a_database_with_accounts()

    async def may_be_new() -> bool:
        async with work.read() as repositories:
            return not await repositories.images.has_kept()

    world = World(work, FolderObjectStore(root, may_be_new))
    image = (await world.upload(b"mine", customer=a_customer())).image
    root.rename(elsewhere)
    root.mkdir()
    assert (await world.erase(a_customer())).bytes_left == 1
    world.clock.advance(minutes=2)
    assert (await world.purge()).left_for_later == 1
    async with work.read() as repositories:
        assert await repositories.erasures.count_open() == 1
    shutil.rmtree(root)
    elsewhere.rename(root)
    world.clock.advance(minutes=2)
    assert (await world.purge()).removed == 1
    assert not (root / image.object_name).exists()
    async with work.read() as repositories:
        assert await repositories.erasures.count_open() == 0
