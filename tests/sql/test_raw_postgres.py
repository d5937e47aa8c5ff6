"""Nothing that a client chose is in the files of PostgreSQL: neither in tables, nor in indexes, nor in its log."""

import secrets

from adapters.memory.surroundings import InMemoryObjectStore
from adapters.sql.unit_of_work import SqlUnitOfWork, create_engine
from application.read_image import FileSource
from tests.builders import a_customer, an_account
from tests.durability.world import World
from tests.postgres import PostgresServer
from tests.raw_files import files_with

PERSON, KEY = f"person-{secrets.token_hex(8)}", f"key-{secrets.token_hex(8)}"


async def test_neither_id_nor_idempotency_key_is_in_any_file(
    postgres_server: PostgresServer, postgres_url: str
) -> None:
    engine = create_engine(postgres_url)
    world = World(SqlUnitOfWork(engine), InMemoryObjectStore())
    async with world.work.begin() as repositories:
        await repositories.accounts.add(an_account())
    person, files = a_customer(PERSON), postgres_server.folder
    for number in range(3):
        kept = await world.upload(b"photo", customer=person, key=f"{KEY}-{number}")
    await world.try_on(kept.image.image_id, (garment(),), customer=person, key=f"{KEY}-9")

    await postgres_server.execute("CHECKPOINT")
    found = files_with(files, person.pseudonym)
    assert any("pg_wal" in name for name in found), "the search finds what is there"
    assert any("base/" in name for name in found)
    assert files_with(files, PERSON, KEY) == []
    assert (await world.erase(person)).bytes_left == 0
    await postgres_server.execute("CHECKPOINT")
    assert files_with(files, PERSON, KEY) == []
    await engine.dispose()


def garment() -> FileSource:
    return FileSource(b"garment", "products[0].images[0]")
