"""No object name leads out of the folder."""

import asyncio
import os
from pathlib import Path

import pytest

from adapters.object_storage.folder import FolderObjectStore

HOSTILE = ["../x", "a/../b", "/etc/passwd", "a/.x", ".a/x", "a/b/c", "a/b\n", "a", "a/", "", "a/b\0", "a\\b/c"]


@pytest.mark.parametrize("name", HOSTILE, ids=repr)
async def test_what_is_not_the_name_of_an_object_is_a_bug_and_touches_no_file(name: str, tmp_path: Path) -> None:
    store = FolderObjectStore(tmp_path / "objects")
    for attempt in (store.put(name, b"x"), store.get(name), store.delete([name])):
        with pytest.raises(ValueError, match="not the name of an object"):
            await attempt
    assert await asyncio.to_thread(os.listdir, tmp_path) == []
