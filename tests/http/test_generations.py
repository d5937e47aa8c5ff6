"""The ends of generations: refusals and outages of the engine, erasures, lost workers, forgetting."""

from datetime import timedelta
from typing import Any

from domain.errors import ContentFiltered, EngineUnavailable
from domain.generation import LeaseId
from tests.http.shop import ANN, Shop, fail_with, request, shop
from tests.http.test_refusals import refused

__all__ = ["shop"]


def test_a_refusal_of_the_engine_is_final_and_told(shop: Shop) -> None:
    shop.engine.interruptions = [fail_with(ContentFiltered())]
    done = shop.outcome(shop.try_on(request()))
    assert (done["status"], done["errorCode"]) == ("FAILED", "CONTENT_FILTERED")
    assert done["errorMessage"]
    assert "resultImageUrl" not in done
    assert shop.work_off() is None


def test_an_engine_that_is_down_is_tried_again_with_longer_and_longer_pauses(shop: Shop) -> None:
    shop.engine.interruptions = [fail_with(EngineUnavailable())] * 2
    started = shop.try_on(request())
    assert shop.outcome(started)["status"] == "PENDING"
    assert shop.work_off() is None
    shop.clock.advance(seconds=4)
    assert shop.work_off().status == "PENDING"
    shop.clock.advance(seconds=7)
    assert shop.work_off() is None
    shop.clock.advance(seconds=1)
    assert shop.work_off().status == "COMPLETED"
    assert shop.generation(started)["status"] == "COMPLETED"


def test_an_engine_that_stays_down_ends_the_generation(shop: Shop) -> None:
    shop.engine.interruptions = [fail_with(EngineUnavailable())] * 9
    started = shop.try_on(request())
    for _ in range(9):
        shop.work_off()
        shop.clock.advance(minutes=1)
    assert shop.generation(started)["errorCode"] == "ENGINE_UNAVAILABLE"
    assert len(shop.engine.interruptions) == 4


def test_a_generation_that_waited_too_long_fails_instead_of_delaying_others(shop: Shop) -> None:
    started = shop.try_on(request())
    shop.clock.advance(minutes=15)
    assert shop.outcome(started)["errorCode"] == "ENGINE_UNAVAILABLE"
    assert shop.engine.garments == []


def test_a_person_who_is_deleted_or_expires_while_the_generation_waits_ends_it(shop: Shop) -> None:
    image_id = shop.upload(ANN).json()["imageId"]
    started = shop.try_on(request({"id": image_id}))
    shop.delete(f"/images/{image_id}")
    assert shop.outcome(started)["errorCode"] == "IMAGE_NOT_FOUND"
    image_id = shop.upload(ANN, keepForDays="1").json()["imageId"]
    shop.clock.advance(hours=23, minutes=59, seconds=50)
    started = shop.try_on(request({"id": image_id}))
    shop.clock.advance(seconds=10)
    assert shop.outcome(started)["errorCode"] == "IMAGE_NOT_FOUND"
    assert shop.engine.garments == []


def test_a_person_who_is_deleted_or_expires_while_the_generation_runs_ends_it_and_no_result_is_kept(shop: Shop) -> None:
    async def a_day_passes() -> None:
        shop.clock.advance(days=1)

    async def someone_deletes() -> None:
        await shop.container.delete_image().execute(image_id, account_id)

    image_id = shop.upload(ANN, keepForDays="1").json()["imageId"]
    account_id = shop.run(shop.container.list_accounts().accounts())[0].account_id
    for interruption in (someone_deletes, a_day_passes):
        image_id = shop.upload(ANN, keepForDays="1").json()["imageId"]
        started = shop.try_on(request({"id": image_id}))
        before = set(shop.stored())
        shop.engine.interruptions = [interruption]
        assert shop.outcome(started)["errorCode"] == "IMAGE_NOT_FOUND"
        assert set(shop.stored()) <= before


def test_erasing_a_customer_in_the_middle_of_a_generation_leaves_nothing(shop: Shop) -> None:
    def erase() -> Any:
        async def erasing() -> None:
            account_id = (await shop.container.list_accounts().accounts())[0].account_id
            await shop.container.erase_customer().execute(shop.container.pseudonyms().customer(account_id, "ann"))

        return erasing()

    shop.engine.interruptions = [erase]
    started = shop.try_on(request(externalUserId="ann"))
    done = shop.outcome(started)
    assert (done["status"], done["errorCode"]) == ("FAILED", "IMAGE_NOT_FOUND")
    assert [name[:7] for name in shop.stored()] == ["ttl-30d"]
    assert shop.engine.garments


def test_erasing_a_customer_takes_what_waits_and_what_is_done(shop: Shop) -> None:
    image_id = shop.upload(ANN).json()["imageId"]  # that it is ann's is said at the try-on only
    done = shop.try_on(request({"id": image_id}, externalUserId="ann"))
    url = shop.outcome(done)["resultImageUrl"]
    waiting = shop.try_on(request({"id": image_id}, externalUserId="ann"))
    assert shop.delete("/customers/ann").status_code == 204
    assert shop.client.get(url).status_code == 404
    assert shop.generation(waiting)["errorCode"] == "IMAGE_NOT_FOUND"
    assert shop.work_off() is None
    finished = shop.generation(done)
    assert (finished["status"], finished["errorCode"]) == ("FAILED", "RESULT_GONE")
    assert "resultImageUrl" not in finished


def test_the_link_to_a_result_never_outlives_it(shop: Shop) -> None:
    started = shop.try_on(request(output={"keepForDays": 1}))
    shop.outcome(started)
    shop.clock.advance(hours=12)
    done = shop.generation(started)
    assert done["resultImageUrlExpiresAt"] == "2026-11-23T12:00:00Z"
    shop.clock.advance(hours=12)
    assert "resultImageUrl" not in shop.generation(started)
    assert shop.client.get(done["resultImageUrl"]).status_code == 404


async def a_worker_claims_and_dies(shop: Shop) -> None:
    now = shop.clock.now()
    async with shop.work.begin() as repositories:
        await repositories.generations.claim(LeaseId("lea_dead"), "in-memory", now, now + timedelta(minutes=3))


def test_a_worker_that_died_is_replaced_when_its_lease_ends(shop: Shop) -> None:
    started = shop.try_on(request())
    shop.run(a_worker_claims_and_dies(shop))
    assert shop.generation(started)["status"] == "PROCESSING"
    shop.clock.advance(minutes=2)
    assert shop.work_off() is None
    shop.clock.advance(minutes=1)
    assert shop.work_off().status == "COMPLETED"


def test_rows_of_generations_are_forgotten_after_a_month(shop: Shop) -> None:
    started = shop.try_on(request())
    shop.outcome(started)
    shop.clock.advance(days=29)
    shop.run(shop.container.purge_overdue().execute())
    assert shop.generation(started)["errorCode"] == "RESULT_GONE"
    shop.clock.advance(days=1)
    shop.run(shop.container.purge_overdue().execute())
    refused(shop.get(f"/generations/{started.json()['generationId']}"), "GENERATION_NOT_FOUND")
