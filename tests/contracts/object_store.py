"""The contract of every object store, written once."""

from datetime import UTC, datetime

from application.ports.objects import ObjectStore

NAME, OTHER_NAME = "ttl-7d/img_1.jpg", "ttl-1d/img_2.jpg"


class ObjectStoreContract:
    """The fixture `store` is empty."""

    async def test_what_was_put_comes_back(self, store: ObjectStore) -> None:
        await store.put(NAME, b"\xff\xd8 a photo")
        assert await store.get(NAME) == b"\xff\xd8 a photo"

    async def test_what_was_never_put_is_not_there(self, store: ObjectStore) -> None:
        assert await store.get(NAME) is None

    async def test_deleting_takes_what_is_named_and_nothing_else(self, store: ObjectStore) -> None:
        await store.put(NAME, b"one")
        await store.put(OTHER_NAME, b"two")
        assert await store.delete([NAME]) == frozenset()
        assert await store.get(NAME) is None
        assert await store.get(OTHER_NAME) == b"two"

    async def test_deleting_twice_is_the_same_as_deleting_once(self, store: ObjectStore) -> None:
        await store.put(NAME, b"one")
        assert await store.delete([NAME]) == frozenset()
        assert await store.delete([NAME, OTHER_NAME]) == frozenset()

    async def test_names_are_listed_in_order_from_any_point_on(self, store: ObjectStore) -> None:
        for name in ("ttl-7d/img_b.jpg", "ttl-1d/img_c.jpg", "ttl-7d/img_a.jpg"):
            await store.put(name, b"")
        assert [name async for name in store.names()] == ["ttl-1d/img_c.jpg", "ttl-7d/img_a.jpg", "ttl-7d/img_b.jpg"]
        assert [name async for name in store.names(after="ttl-7d/img_a.jpg")] == ["ttl-7d/img_b.jpg"]

    async def test_a_store_that_is_ready_passes_the_check_and_is_left_as_it_was(self, store: ObjectStore) -> None:
        await store.check()
        assert [name async for name in store.names()] == []

    async def test_sweeping_takes_nothing_that_was_put(self, store: ObjectStore) -> None:
        await store.put(NAME, b"one")
        await store.sweep(datetime.now(UTC))
        assert await store.get(NAME) == b"one"
