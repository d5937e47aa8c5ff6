"""After an erasure nothing of the person is in the raw files, whatever the database would show."""

from pathlib import Path

from adapters.object_storage.folder import FolderObjectStore
from adapters.sql.migrate import Migrator
from adapters.sql.unit_of_work import SqlUnitOfWork, create_engine
from tests.builders import a_customer, an_account
from tests.durability.world import World
from tests.raw_files import files_with

PERSON, PHOTO, KEY = "canary-of-a-person", b"canary of a photo", "canary-of-a-key"


async def test_neither_id_nor_photo_is_left_in_any_file(tmp_path: Path) -> None:
    engine = create_engine(f"sqlite+aiosqlite:///{tmp_path}/tryon.db")
    await Migrator(engine).upgrade()
    work = SqlUnitOfWork(engine)
    async with work.begin() as repositories:
        await repositories.accounts.add(an_account())
    world = World(work, FolderObjectStore(tmp_path / "objects"))
    for number in range(20):
        await world.upload(PHOTO, customer=a_customer(PERSON), key=f"{KEY}{number}")
    await world.upload(b"another photo", customer=a_customer("somebody else"))
    pseudonym = a_customer(PERSON).pseudonym
    assert "tryon.db-wal" in files_with(tmp_path, pseudonym)
    assert files_with(tmp_path, PERSON, KEY) == []
    assert (await world.erase(a_customer(PERSON))).bytes_left == 0
    assert files_with(tmp_path, pseudonym, PHOTO) == []
    assert files_with(tmp_path, a_customer("somebody else").pseudonym) == ["tryon.db"]
    await engine.dispose()
