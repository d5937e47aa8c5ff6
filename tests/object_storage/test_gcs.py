"""Promises of the Google Cloud Storage adapter when the network, the service or the bucket does not play along."""

import asyncio
import gc
import threading
from collections.abc import Iterator

import pytest

from adapters.object_storage.gcs import GcsObjectStore
from adapters.object_storage.gcs_bucket import GcsAddress, GcsBucket
from domain.errors import Overloaded
from tests.object_storage.bucket_server import (
    BUCKET,
    BucketState,
    Fault,
    broken_off,
    bucket_server,
    flipped,
    forbidden,
    says,
    stalled,
    unavailable_after,
    unavailable_before,
    unavailable_without_a_word,
)

NAME, FULL_NAME = "ttl-7d/img_1.jpg", "shop/ttl-7d/img_1.jpg"
JPEG = b"\xff\xd8 a photo\r\n--with\r\n\r\nodd bytes\n"
CREATE = f"POST /upload/storage/v1/b/{BUCKET}/o"
DELETIONS = "POST /batch/storage/v1"


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[BucketState]:
    with bucket_server() as (state, url):
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", url)
        yield state


@pytest.fixture
def store(bucket: BucketState) -> GcsObjectStore:  # noqa: ARG001 - has to be there first
    return GcsObjectStore(GcsBucket(f"gs://{BUCKET}/shop"))


def a_hasty_store() -> GcsObjectStore:
    return GcsObjectStore(GcsBucket(f"gs://{BUCKET}/shop", deadline_seconds=0.3))


@pytest.mark.parametrize(
    ("url", "bucket", "prefix"),
    [
        ("gs://photos", "photos", ""),
        ("gs://photos/", "photos", ""),
        ("gs://photos/shop", "photos", "shop/"),
        ("gs://photos/shop/eu/", "photos", "shop/eu/"),
    ],
)
def test_an_address_names_a_bucket_and_a_prefix(url: str, bucket: str, prefix: str) -> None:
    assert GcsAddress.parse(url) == GcsAddress(bucket, prefix)


@pytest.mark.parametrize("url", ["gs://", "gs:///photos", "s3://photos", "photos"])
def test_an_address_without_a_bucket_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="gs://bucket/prefix"):
        GcsAddress.parse(url)


async def test_an_object_is_a_jpeg_that_no_cache_may_keep(store: GcsObjectStore, bucket: BucketState) -> None:
    await store.put(NAME, JPEG)
    assert bucket.objects == {FULL_NAME: JPEG}
    stored = bucket.metadata[FULL_NAME]
    assert (stored["contentType"], stored["cacheControl"]) == ("image/jpeg", "private, no-store")


async def test_a_create_that_landed_although_its_answer_got_lost_counts(
    store: GcsObjectStore, bucket: BucketState
) -> None:
    bucket.faults.append((CREATE, unavailable_after))
    await store.put(NAME, JPEG)
    assert bucket.requests.count(CREATE) == 2
    assert bucket.objects == {FULL_NAME: JPEG}


async def test_a_create_that_did_not_land_is_tried_again(store: GcsObjectStore, bucket: BucketState) -> None:
    bucket.faults.append((CREATE, unavailable_before))
    await store.put(NAME, JPEG)
    assert bucket.objects == {FULL_NAME: JPEG}


async def test_an_object_is_never_overwritten(store: GcsObjectStore, bucket: BucketState) -> None:
    await store.put(NAME, JPEG)
    with pytest.raises(RuntimeError, match="something else"):
        await store.put(NAME, b"another photo")
    assert bucket.objects == {FULL_NAME: JPEG}


async def test_a_refusal_is_not_tried_again(store: GcsObjectStore, bucket: BucketState) -> None:
    bucket.faults.append((CREATE, forbidden))
    with pytest.raises(Overloaded, match="Storage is not reachable"):
        await store.put(NAME, JPEG)
    assert bucket.requests == [CREATE]


async def test_a_photo_that_was_damaged_on_its_way_is_not_handed_out(
    store: GcsObjectStore, bucket: BucketState
) -> None:
    await store.put(NAME, JPEG)
    bucket.faults += [("GET /download/", flipped)] * 50
    with pytest.raises(Overloaded):
        await store.get(NAME)
    bucket.faults.clear()
    assert await store.get(NAME) == JPEG


async def test_a_bucket_that_is_not_there_is_an_outage_and_not_an_absent_photo(
    store: GcsObjectStore, bucket: BucketState
) -> None:
    await store.put(NAME, JPEG)
    bucket.exists = False
    with pytest.raises(Overloaded):
        await store.get(NAME)
    assert await store.delete([NAME]) == {NAME}
    with pytest.raises(Overloaded):
        await store.check()


async def test_deletions_go_by_the_hundred(store: GcsObjectStore, bucket: BucketState) -> None:
    names = [f"ttl-1d/img_{number:03}.jpg" for number in range(250)]
    bucket.objects = {f"shop/{name}": JPEG for name in names} | {"elsewhere/ttl-1d/img_000.jpg": JPEG}
    assert await store.delete(names) == frozenset()
    assert sorted(bucket.sizes) == [50, 100, 100]
    assert list(bucket.objects) == ["elsewhere/ttl-1d/img_000.jpg"]


async def test_only_the_deletions_that_failed_are_left(store: GcsObjectStore, bucket: BucketState) -> None:
    names = [f"ttl-1d/img_{number}.jpg" for number in range(3)]
    for name in names:
        await store.put(name, JPEG)
    bucket.faults.append((f"DELETE /storage/v1/b/{BUCKET}/o/shop%2Fttl-1d%2Fimg_1.jpg", unavailable_before))
    assert await store.delete(names) == {"ttl-1d/img_1.jpg"}
    assert list(bucket.objects) == ["shop/ttl-1d/img_1.jpg"]


async def test_deletions_whose_answer_got_lost_are_tried_again(store: GcsObjectStore, bucket: BucketState) -> None:
    await store.put(NAME, JPEG)
    bucket.faults.append((DELETIONS, unavailable_after))
    assert await store.delete([NAME]) == frozenset()
    assert bucket.objects == {}


NO_PARTS = b"\r\n--answers--\r\n"
ONE_PART = b"--answers\r\nContent-Type: application/http\r\n\r\nHTTP/1.1 204 X\r\n\r\n\r\n--answers--"
OTHER_BATCHES = {
    "404": (404, b"Not Found"),
    "405": (405, b"<html>Method Not Allowed</html>"),
    "501, as storage-testbench says": (501, b"Not implemented"),
    "no parts, as fake-gcs-server says": (200, NO_PARTS),
    "one part for all": (200, ONE_PART),
    "a proxy's page": (200, b"<html>Welcome</html>"),
    "not even text": (200, b"\xff\xfe\x00"),
}


@pytest.mark.parametrize("answer", OTHER_BATCHES.values(), ids=OTHER_BATCHES)
async def test_where_batches_are_not_understood_objects_are_deleted_one_by_one(
    store: GcsObjectStore, bucket: BucketState, answer: tuple[int, bytes]
) -> None:
    bucket.batch_answer = answer
    bucket.objects = {FULL_NAME: JPEG, "shop/ttl-7d/img_2.jpg": JPEG, "shop/ttl-7d/img_3.jpg": JPEG}
    assert await store.delete([NAME, "ttl-7d/img_2.jpg", "ttl-7d/img_absent.jpg"]) == frozenset()
    assert list(bucket.objects) == ["shop/ttl-7d/img_3.jpg"]
    bucket.faults.append((f"DELETE /storage/v1/b/{BUCKET}/o/shop%2Fttl-7d%2Fimg_3.jpg", forbidden))
    assert await store.delete(["ttl-7d/img_3.jpg", "ttl-7d/img_4.jpg"]) == {"ttl-7d/img_3.jpg"}
    assert bucket.requests.count(DELETIONS) == (1 if answer[0] != 200 else 2), "asked again only if it may help"


CAUSES: dict[str, tuple[Fault, str]] = {
    "a proxy's page": (says(200, b"<html>Welcome</html>"), "unreadable_answer"),
    "another kind of JSON": (says(200, b"[1, 2]"), "unreadable_answer"),
    "nothing at all": (says(200, b"null"), "unreadable_answer"),
    "a refusal": (forbidden, "refused"),
    "no such thing": (
        says(404, {"error": {"code": 404, "message": "The specified bucket does not exist."}}),
        "not_found",
    ),
}


@pytest.mark.parametrize(("fault", "cause"), CAUSES.values(), ids=CAUSES)
async def test_whatever_is_answered_is_an_outage_that_names_its_cause(
    store: GcsObjectStore, bucket: BucketState, fault: Fault, cause: str
) -> None:
    bucket.objects[FULL_NAME] = JPEG
    bucket.faults += [("GET /storage/v1/b/photos/o", fault)] * 2
    with pytest.raises(Overloaded, match="Storage is not reachable") as listing:
        _ = [name async for name in store.names()]
    assert listing.value.cause == cause


async def test_a_check_that_cannot_delete_says_why(store: GcsObjectStore, bucket: BucketState) -> None:
    bucket.faults.append((f"DELETE /storage/v1/b/{BUCKET}/o/shop%2Fprobes", forbidden))
    with pytest.raises(Overloaded) as outage:
        await store.check()
    assert outage.value.cause == "refused"


@pytest.mark.parametrize(
    "fault", [unavailable_without_a_word, broken_off], ids=["503 without a body", "a broken stream"]
)
@pytest.mark.parametrize("request_", [CREATE, "GET /download/", DELETIONS])
@pytest.mark.filterwarnings("ignore:Exception ignored in. <socket")  # Google's library closes no answer that it refuses
async def test_a_hiccup_is_got_over(store: GcsObjectStore, bucket: BucketState, request_: str, fault: Fault) -> None:
    bucket.faults.append((request_, fault))
    await store.put(NAME, JPEG)
    assert await store.get(NAME) == JPEG
    assert await store.delete([NAME]) == frozenset()
    assert bucket.objects == {}
    assert bucket.faults == []
    gc.collect()  # while the warning is ignored


@pytest.mark.parametrize("request_", [CREATE, "GET /download/"])
async def test_a_service_that_hangs_is_overloaded_in_time_while_the_loop_turns(
    bucket: BucketState, request_: str
) -> None:
    released = threading.Event()
    bucket.objects[FULL_NAME] = JPEG
    bucket.faults.append((request_, stalled(released)))
    store = a_hasty_store()
    try:
        work = store.put("ttl-7d/img_2.jpg", JPEG) if request_ == CREATE else store.get(NAME)
        task = asyncio.ensure_future(work)
        turns = 0
        while not task.done():
            await asyncio.sleep(0.01)
            turns += 1
        with pytest.raises(Overloaded) as outage:
            await task
    finally:
        released.set()
    assert outage.value.cause == "timeout"
    assert turns > 1


async def test_an_unreachable_service_leaves_every_deletion_for_later(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", "http://127.0.0.1:9")  # "discard": nobody listens there
    store = a_hasty_store()
    assert await store.delete([NAME, "ttl-1d/img_2.jpg"]) == {NAME, "ttl-1d/img_2.jpg"}
    with pytest.raises(Overloaded):
        await store.get(NAME)
