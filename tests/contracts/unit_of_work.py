"""The contract of every unit of work and its repositories, written once."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import timedelta

import pytest

from application.audit import audited
from application.ports.rows import CustomerTraces, ImageToDelete, OutOfReach, Overdue, PublishOutcome, UnitOfWork
from domain.account import AccountId, ApiKey, Beginning, KeyId, KeyScope, RetentionPolicy
from domain.customer import Customer, IdempotencyRecord, Pseudonyms
from domain.erasure import Action, AuditEntry, ErasureRecord, Tombstone
from domain.errors import AccountExists, IdempotencyKeyInUse
from domain.geometry import Box
from domain.image import ErasureId, ImageId, ImageState, UploadedImage
from domain.person import Framing, PersonReport
from domain.photo import PhotoWarning, WarningCode
from tests.builders import ACME, NOON, OTHER, a_customer, a_stored_photo, an_account, an_image

SOON = NOON + timedelta(minutes=1)
A_WEEK_LATER = NOON + timedelta(days=7)
ERA = ErasureId("era_1")
RECORD = IdempotencyRecord(b"k" * 32, b"f" * 32)


def ids(marked: Iterable[ImageToDelete]) -> list[str]:
    return sorted(image.image_id for image in marked)


def a_tombstone(customer: Customer, *, epoch: int) -> Tombstone:
    return Tombstone.of(
        customer,
        erasure_id=ErasureId(f"era_{epoch}"),
        epoch=epoch,
        salt=b"s" * 16,
        expires_at=SOON,
        erased_at=NOON,
    )


async def given_stored(work: UnitOfWork, image: UploadedImage) -> UploadedImage:
    async with work.begin() as repositories:
        await repositories.images.reserve(image)
        await repositories.images.publish(image, a_stored_photo())
    return image


async def given_pending(work: UnitOfWork, image: UploadedImage) -> UploadedImage:
    async with work.begin() as repositories:
        await repositories.images.reserve(image)
    return image


async def state_of(work: UnitOfWork, image: UploadedImage) -> ImageState | None:
    async with work.read() as repositories:
        found = await repositories.images.find(image.image_id, image.account_id)
    return found.state if found else None


class UnitOfWorkContract:
    """The fixture `work` holds the accounts ACME and OTHER and nothing else."""

    async def test_nothing_is_kept_of_a_transaction_that_raises(self, work: UnitOfWork) -> None:
        async def reserve_and_raise() -> None:
            async with work.begin() as repositories:
                await repositories.images.reserve(an_image())
                raise RuntimeError("on purpose")

        with pytest.raises(RuntimeError, match="on purpose"):
            await reserve_and_raise()
        assert await state_of(work, an_image()) is None

    async def test_a_database_that_is_ready_passes_the_check(self, work: UnitOfWork) -> None:
        await work.check()
        await work.check_commits()

    async def test_a_stored_image_comes_back_as_it_was(self, work: UnitOfWork) -> None:
        photo = replace(
            a_stored_photo(),
            crop=Box(0, 126, 3024, 3780),
            person=PersonReport(2, Box(610, 300, 1700, 3500), Box(1300, 380, 420, 420), Framing.FULL_BODY),
            warnings=(PhotoWarning(WarningCode.MULTIPLE_PEOPLE, "There are two people."),),
        )
        image = await given_pending(work, an_image(customer=a_customer(), keep_for_days=3, idempotency=RECORD))
        async with work.begin() as repositories:
            assert await repositories.images.publish(image, photo) is PublishOutcome.PUBLISHED
            found_inside = await repositories.images.find(image.image_id, ACME)
        async with work.read() as repositories:
            found_later = await repositories.images.find(image.image_id, ACME)
        assert found_inside == found_later == replace(image, state=ImageState.STORED, photo=photo)

    async def test_an_image_is_unknown_to_any_other_account(self, work: UnitOfWork) -> None:
        image = await given_stored(work, an_image())
        async with work.begin() as repositories:
            assert await repositories.images.find(image.image_id, OTHER) is None
            assert await repositories.images.mark_deleting(image.image_id, OTHER, SOON) is None
        assert await state_of(work, image) is ImageState.STORED

    async def test_publishing_twice_is_refused(self, work: UnitOfWork) -> None:
        image = await given_stored(work, an_image())
        async with work.begin() as repositories:
            assert await repositories.images.publish(image, a_stored_photo()) is PublishOutcome.LAPSED

    async def test_an_idempotency_key_admits_one_image_of_an_account(self, work: UnitOfWork) -> None:
        await given_pending(work, an_image("img_1", idempotency=RECORD))
        with pytest.raises(IdempotencyKeyInUse):
            await given_pending(work, an_image("img_2", idempotency=RECORD))
        await given_pending(work, an_image("img_3", account_id=OTHER, idempotency=RECORD))

    async def test_a_record_of_an_erasure_that_found_nothing_is_kept_for_30_days(self, work: UnitOfWork) -> None:
        nothing = ErasureRecord(erasure_id=ERA, account_id=ACME, requested_at=NOON, image_count=0, completed_at=NOON)
        something = replace(nothing, erasure_id=ErasureId("era_2"), image_count=1)
        async with work.begin() as repositories:
            for record in (nothing, something):
                await repositories.erasures.open_record(record, [], A_WEEK_LATER)
            await repositories.erasures.sweep(NOON + timedelta(days=30, seconds=-1))
            assert await repositories.erasures.find_record(ERA) == nothing
            await repositories.erasures.sweep(NOON + timedelta(days=30))
            assert await repositories.erasures.find_record(ERA) is None
            assert await repositories.erasures.find_record(ErasureId("era_2")) == something

    async def test_a_released_idempotency_key_is_free_again(self, work: UnitOfWork) -> None:
        await given_pending(work, an_image("img_1", idempotency=RECORD))
        async with work.begin() as repositories:
            await repositories.images.release_idempotency_key(ImageId("img_1"))
        await given_pending(work, an_image("img_2", idempotency=RECORD))
        async with work.read() as repositories:
            found = await repositories.images.find_by_idempotency_key(ACME, RECORD)
        assert found is not None
        assert found.image_id == "img_2"

    async def test_deletion_goes_by_way_of_deleting_and_frees_the_idempotency_key(self, work: UnitOfWork) -> None:
        image = await given_stored(work, an_image(idempotency=RECORD))
        async with work.begin() as repositories:
            marked = await repositories.images.mark_deleting(image.image_id, ACME, SOON)
            assert marked == ImageToDelete(image.image_id, "ttl-7d/img_1.jpg")
        assert await state_of(work, image) is ImageState.DELETING
        async with work.begin() as repositories:
            assert await repositories.images.find_by_idempotency_key(ACME, RECORD) is None
            await repositories.images.remove([image.image_id])
        assert await state_of(work, image) is None

    async def test_an_upload_in_flight_cannot_be_deleted_by_its_id(self, work: UnitOfWork) -> None:
        image = await given_pending(work, an_image())
        async with work.begin() as repositories:
            assert await repositories.images.mark_deleting(image.image_id, ACME, SOON) is None

    async def test_a_stored_image_is_never_removed_without_deletion(self, work: UnitOfWork) -> None:
        image = await given_stored(work, an_image())
        async with work.begin() as repositories:
            await repositories.images.remove([image.image_id])
        assert await state_of(work, image) is ImageState.STORED

    async def test_an_erasure_takes_one_customer_in_every_state_and_nobody_else(self, work: UnitOfWork) -> None:
        mine = [
            await given_stored(work, an_image("img_1", customer=a_customer())),
            await given_pending(work, an_image("img_2", customer=a_customer())),
        ]
        others = [
            await given_stored(work, an_image("img_3", customer=a_customer("gid://shopify/Customer/10"))),
            await given_stored(work, an_image("img_4")),
            await given_stored(work, an_image("img_5", account_id=OTHER, customer=a_customer(account_id=OTHER))),
        ]
        async with work.begin() as repositories:
            marked = await repositories.images.mark_customer_deleting(a_customer(), ERA, NOON, SOON)
        assert ids(marked) == ["img_1", "img_2"]
        assert {image.image_id for image in marked if image.is_in_flight} == {"img_2"}
        assert [await state_of(work, image) for image in mine] == [ImageState.DELETING] * 2
        assert [await state_of(work, image) for image in others] == [ImageState.STORED] * 3

    async def test_an_upload_that_was_erased_in_flight_learns_of_it(self, work: UnitOfWork) -> None:
        image = await given_pending(work, an_image(customer=a_customer()))
        async with work.begin() as repositories:
            await repositories.images.mark_customer_deleting(a_customer(), ERA, NOON, SOON)
        async with work.begin() as repositories:
            assert await repositories.images.publish(image, a_stored_photo()) is PublishOutcome.ERASED

    async def test_an_upload_that_was_erased_in_flight_keeps_its_lease(self, work: UnitOfWork) -> None:
        await given_pending(work, an_image(customer=a_customer()))
        async with work.begin() as repositories:
            await repositories.images.mark_customer_deleting(a_customer(), ERA, NOON, SOON)
        async with work.begin() as repositories:
            assert not (await repositories.images.mark_due_deleting(SOON, SOON, 10)).images
            lapsed = NOON + UploadedImage.PENDING_LEASE
            assert ids(
                (await repositories.images.mark_due_deleting(lapsed, lapsed + timedelta(minutes=1), 10)).images
            ) == ["img_1"]

    async def test_what_is_due_is_taken_oldest_first_and_once(self, work: UnitOfWork) -> None:
        await given_stored(work, an_image("img_1", keep_for_days=3))
        await given_stored(work, an_image("img_2", keep_for_days=1))
        await given_stored(work, an_image("img_3", keep_for_days=7))
        await given_pending(work, an_image("img_4", created_at=NOON + timedelta(days=2)))
        later = NOON + timedelta(days=5)
        retry_at = later + timedelta(minutes=1)
        async with work.begin() as repositories:
            first = await repositories.images.mark_due_deleting(later, retry_at, 2)
            second = await repositories.images.mark_due_deleting(later, retry_at, 2)
            third = await repositories.images.mark_due_deleting(later, retry_at, 2)
        assert (ids(first.images), first.expired, first.interrupted) == (["img_2", "img_4"], 1, 1)
        assert (ids(second.images), second.expired, second.interrupted) == (["img_1"], 1, 0)
        assert third.images == ()

    async def test_an_image_is_due_at_the_very_instant_of_its_expiry(self, work: UnitOfWork) -> None:
        await given_stored(work, an_image())
        async with work.begin() as repositories:
            just_before = A_WEEK_LATER - timedelta(microseconds=1)
            assert (await repositories.images.mark_due_deleting(just_before, SOON, 10)).images == ()
            assert ids((await repositories.images.mark_due_deleting(A_WEEK_LATER, SOON, 10)).images) == ["img_1"]

    async def test_a_deletion_that_was_not_finished_is_due_again(self, work: UnitOfWork) -> None:
        image = await given_stored(work, an_image())
        async with work.begin() as repositories:
            await repositories.images.mark_deleting(image.image_id, ACME, SOON)
        async with work.begin() as repositories:
            assert (await repositories.images.mark_due_deleting(NOON, SOON, 10)).images == ()
            again = await repositories.images.mark_due_deleting(SOON, SOON + timedelta(minutes=1), 10)
        assert (ids(again.images), again.expired, again.interrupted) == (["img_1"], 0, 0)

    async def test_images_of_a_customer_are_counted_until_their_rows_are_gone(self, work: UnitOfWork) -> None:
        await given_stored(work, an_image(customer=a_customer()))
        async with work.begin() as repositories:
            await repositories.images.mark_customer_deleting(a_customer(), ERA, NOON, SOON)
            assert await repositories.images.traces_of(a_customer()) == CustomerTraces(1, 0)
            await repositories.images.remove([ImageId("img_1")])
            assert await repositories.images.traces_of(a_customer()) == CustomerTraces(0, 0)

    async def test_what_was_kept_under_an_older_key_is_the_customers_too(self, work: UnitOfWork) -> None:
        before, now = Pseudonyms((b"o" * 32,)), Pseudonyms((b"n" * 32, b"o" * 32))
        record, again = (each.request(ACME, "key", b"request") for each in (before, now))
        await given_stored(work, an_image("img_1", customer=before.customer(ACME, "ann"), idempotency=record))
        await given_pending(work, an_image("img_2", customer=now.customer(ACME, "ann")))
        await given_stored(work, an_image("img_3", customer=before.customer(ACME, "bob")))
        async with work.begin() as repositories:
            found = await repositories.images.find_by_idempotency_key(ACME, again)
            assert found is not None
            assert found.idempotency is not None
            assert again.is_same_request(found.idempotency)
            assert await repositories.images.traces_of(now.customer(ACME, "ann")) == CustomerTraces(2, 1)
            marked = await repositories.images.mark_customer_deleting(now.customer(ACME, "ann"), ERA, NOON, SOON)
        assert ids(marked) == ["img_1", "img_2"]

    async def test_images_under_a_key_that_is_not_at_hand_are_counted(self, work: UnitOfWork) -> None:
        lost, now = Pseudonyms((b"o" * 32,)), Pseudonyms((b"n" * 32,))
        await given_stored(work, an_image("img_1", customer=lost.customer(ACME, "ann"), keep_for_days=1))
        await given_stored(work, an_image("img_2", customer=lost.customer(ACME, "bob"), keep_for_days=3))
        await given_stored(work, an_image("img_3", customer=now.customer(ACME, "ann"), keep_for_days=7))
        await given_stored(work, an_image("img_4", customer=Customer(ACME, "as the version before wrote it")))
        await given_stored(work, an_image("img_5"))
        async with work.read() as repositories:
            count = repositories.images.under_other_keys
            assert await count(now.prefixes) == OutOfReach(2, NOON + timedelta(days=3))
            assert await count((*now.prefixes, *lost.prefixes), ACME) == OutOfReach()
            assert await count(now.prefixes, OTHER) == OutOfReach()

    async def test_the_traces_of_a_customer_include_idempotency_records(self, work: UnitOfWork) -> None:
        await given_stored(work, an_image("img_1", customer=a_customer(), idempotency=RECORD))
        await given_pending(work, an_image("img_2", customer=a_customer()))
        await given_stored(work, an_image("img_3", customer=a_customer("somebody else")))
        async with work.read() as repositories:
            assert await repositories.images.traces_of(a_customer()) == CustomerTraces(2, 1)

    async def test_stored_images_of_a_customer_are_listed_by_pages(self, work: UnitOfWork) -> None:
        for name in ("img_2", "img_1", "img_3"):
            await given_stored(work, an_image(name, customer=a_customer()))
        await given_stored(work, an_image("img_4", customer=a_customer("somebody else")))
        await given_stored(work, an_image("img_5"))
        await given_stored(work, an_image("img_6", account_id=OTHER, customer=a_customer(account_id=OTHER)))
        await given_pending(work, an_image("img_7", customer=a_customer()))
        async with work.begin() as repositories:
            await repositories.images.mark_deleting(ImageId("img_3"), ACME, SOON)
        async with work.read() as repositories:
            first = await repositories.images.stored_of(a_customer(), "", 1)
            rest = await repositories.images.stored_of(a_customer(), first[0].image_id, 9)
        assert [image.image_id for image in (*first, *rest)] == ["img_1", "img_2"]
        assert first[0].photo == a_stored_photo()

    async def test_an_upload_whose_row_was_removed_gets_one_again_that_names_nobody(self, work: UnitOfWork) -> None:
        image = an_image(customer=a_customer(), idempotency=RECORD)
        async with work.begin() as repositories:
            assert await repositories.images.publish(image, a_stored_photo()) is PublishOutcome.LAPSED
            assert await repositories.images.abandon(image, SOON) == ImageToDelete(image.image_id, image.object_name)
        assert await state_of(work, image) is ImageState.DELETING
        async with work.begin() as repositories:
            assert await repositories.images.traces_of(a_customer()) == CustomerTraces(0, 0)
            assert await repositories.images.find_by_idempotency_key(ACME, RECORD) is None
            assert (await repositories.images.mark_due_deleting(NOON, SOON, 10)).images == ()
            assert ids((await repositories.images.mark_due_deleting(SOON, SOON, 10)).images) == ["img_1"]

    async def test_an_image_that_was_published_after_all_is_not_abandoned(self, work: UnitOfWork) -> None:
        image = await given_stored(work, an_image())
        async with work.begin() as repositories:
            assert await repositories.images.abandon(image, SOON) is None
        assert await state_of(work, image) is ImageState.STORED

    async def test_more_images_than_a_statement_has_parameters_are_marked_and_removed(self, work: UnitOfWork) -> None:
        many = [ImageId(f"img_{number:05}") for number in range(40_000)]
        async with work.begin() as repositories:
            await repositories.images.reserve(an_image(many[-1]))
            assert ids(await repositories.images.mark_known_deleting(many, SOON)) == [many[-1]]
            await repositories.images.remove(many)
            assert await repositories.images.count() == 0

    async def test_an_epoch_tells_which_came_first(self, work: UnitOfWork) -> None:
        async with work.begin() as repositories:
            epoch = await repositories.erasures.advance_epoch(ACME)
            await repositories.erasures.add_tombstone(a_tombstone(a_customer(), epoch=epoch))
        async with work.read() as repositories:
            assert await repositories.erasures.is_erased_since(a_customer(), Beginning(epoch - 1))
            assert not await repositories.erasures.is_erased_since(a_customer(), Beginning(epoch))
            assert not await repositories.erasures.is_erased_since(a_customer("somebody else"), Beginning(epoch - 1))
            account = await repositories.accounts.find(ACME)
        assert account is not None
        assert account.erasure_epoch == epoch

    @pytest.mark.parametrize(
        ("seconds", "is_erased"), [(-3600, True), (0, True), (1.999, True), (2, False), (9, False)]
    )
    async def test_a_time_tells_what_an_epoch_that_was_looked_at_late_does_not(
        self, work: UnitOfWork, seconds: float, is_erased: bool
    ) -> None:
        began = Beginning(1, NOON + timedelta(seconds=seconds))
        async with work.begin() as repositories:
            await repositories.erasures.add_tombstone(a_tombstone(a_customer(), epoch=1))
            assert await repositories.erasures.is_erased_since(a_customer(), began) is is_erased
            assert not await repositories.erasures.is_erased_since(a_customer("somebody else"), began)

    async def test_entries_of_the_audit_log_are_read_by_pages_oldest_first(self, work: UnitOfWork) -> None:
        async with work.begin() as repositories:
            for number in (3, 1, 2):
                at = NOON + timedelta(minutes=number)
                await repositories.audit.add(audited(at, Action.KEY_CREATED, ACME, f"key {number}", ends=None, rate=7))
            await repositories.audit.add(audited(NOON, Action.CLOCK_TRUSTED))
            assert [entry.subject for entry in repositories.audit.added] == ["key 3", "key 1", "key 2", None]
        async with work.read() as repositories:
            first = await repositories.audit.entries(None, None, None, 2)
            rest = await repositories.audit.entries(None, None, first[-1], 9)
            of_account = await repositories.audit.entries(NOON + timedelta(minutes=2), ACME, None, 9)
        assert [entry.subject for entry in (*first, *rest)] == [None, "key 1", "key 2", "key 3"]
        assert [entry.subject for entry in of_account] == ["key 2", "key 3"]
        assert first[0] == replace(audited(NOON, Action.CLOCK_TRUSTED), entry_id=first[0].entry_id)
        assert first[1].facts == {"ends": None, "rate": 7}

    async def test_entries_of_one_instant_are_all_read(self, work: UnitOfWork) -> None:
        async with work.begin() as repositories:
            for number in range(7):
                await repositories.audit.add(audited(NOON, Action.KEY_CREATED, ACME, f"key {number}"))
        read: list[AuditEntry] = []
        last = None
        for _ in range(4):
            async with work.read() as repositories:
                page = await repositories.audit.entries(None, None, last, 2)
            read, last = [*read, *page], page[-1]
        assert sorted(str(entry.subject) for entry in read) == [f"key {number}" for number in range(7)]

    async def test_an_entry_of_what_was_rolled_back_is_not_kept(self, work: UnitOfWork) -> None:
        async def add_and_raise() -> None:
            async with work.begin() as repositories:
                await repositories.audit.add(audited(NOON, Action.CLOCK_TRUSTED))
                raise RuntimeError("on purpose")

        with pytest.raises(RuntimeError, match="on purpose"):
            await add_and_raise()
        async with work.read() as repositories:
            assert await repositories.audit.entries(None, None, None, 9) == ()

    async def test_tombstones_pass(self, work: UnitOfWork) -> None:
        async with work.begin() as repositories:
            await repositories.erasures.add_tombstone(a_tombstone(a_customer(), epoch=1))
            assert await repositories.erasures.sweep(SOON - timedelta(seconds=1)) == 0
            assert await repositories.erasures.sweep(SOON) == 1
            assert not await repositories.erasures.is_erased_since(a_customer(), Beginning(0))

    async def test_a_record_is_completed_once_nothing_is_left_of_its_images(self, work: UnitOfWork) -> None:
        await given_stored(work, an_image(customer=a_customer()))
        record = ErasureRecord(erasure_id=ERA, account_id=ACME, requested_at=NOON, image_count=1)
        async with work.begin() as repositories:
            await repositories.images.mark_customer_deleting(a_customer(), ERA, NOON, SOON)
            await repositories.erasures.open_record(record, [ImageId("img_1")], A_WEEK_LATER)
            assert await repositories.erasures.complete_records(SOON) == 0
            await repositories.images.remove([ImageId("img_1")])
            assert await repositories.erasures.complete_records(SOON) == 1
        async with work.read() as repositories:
            assert await repositories.erasures.list_records(ACME, 10) == (replace(record, completed_at=SOON),)
            assert await repositories.erasures.list_records(OTHER, 10) == ()

    async def test_erased_ids_are_remembered_until_backups_are_older(self, work: UnitOfWork) -> None:
        record = ErasureRecord(erasure_id=ERA, account_id=ACME, requested_at=NOON, image_count=2)
        async with work.begin() as repositories:
            await repositories.erasures.open_record(record, [ImageId("img_2"), ImageId("img_1")], A_WEEK_LATER)
            assert await repositories.erasures.images_of(ERA) == ("img_1", "img_2")
            await repositories.erasures.sweep(A_WEEK_LATER - timedelta(seconds=1))
            assert await repositories.erasures.images_of(ERA) == ("img_1", "img_2")
            await repositories.erasures.sweep(A_WEEK_LATER)
            assert await repositories.erasures.images_of(ERA) == ()

    async def test_erased_ids_are_remembered_as_long_as_their_rows_are_left(self, work: UnitOfWork) -> None:
        await given_stored(work, an_image("img_1", customer=a_customer()))
        record = ErasureRecord(erasure_id=ERA, account_id=ACME, requested_at=NOON, image_count=1)
        async with work.begin() as repositories:
            await repositories.images.mark_customer_deleting(a_customer(), ERA, NOON, SOON)
            await repositories.erasures.open_record(record, [ImageId("img_1")], NOON)
            await repositories.erasures.sweep(SOON)
            assert await repositories.erasures.complete_records(SOON) == 0

    async def test_two_erasures_of_the_same_images_are_both_complete_when_these_are_gone(
        self, work: UnitOfWork
    ) -> None:
        await given_stored(work, an_image("img_1", customer=a_customer()))
        async with work.begin() as repositories:
            for erasure_id in (ErasureId("era_1"), ErasureId("era_2")):
                await repositories.images.mark_customer_deleting(a_customer(), erasure_id, NOON, SOON)
                record = ErasureRecord(erasure_id=erasure_id, account_id=ACME, requested_at=NOON, image_count=1)
                await repositories.erasures.open_record(record, [ImageId("img_1")], A_WEEK_LATER)
            assert await repositories.erasures.complete_records(SOON) == 0
            await repositories.images.remove([ImageId("img_1")])
            assert await repositories.erasures.complete_records(SOON) == 2

    async def test_records_are_listed_newest_first_from_any_record_on(self, work: UnitOfWork) -> None:
        records = [
            ErasureRecord(erasure_id=ErasureId(f"era_{n}"), account_id=ACME, requested_at=NOON, image_count=0)
            for n in range(3)
        ]
        async with work.begin() as repositories:
            for record in records:
                await repositories.erasures.open_record(record, [], A_WEEK_LATER)
            newest = await repositories.erasures.list_records(None, 2)
            rest = await repositories.erasures.list_records(None, 2, older_than=newest[-1])
            assert [record.erasure_id for record in (*newest, *rest)] == ["era_2", "era_1", "era_0"]
            assert (await repositories.erasures.find_record(ErasureId("era_1"))) is not None
            assert await repositories.erasures.find_record(ErasureId("era_9")) is None

    async def test_a_tombstone_says_until_when_it_stands(self, work: UnitOfWork) -> None:
        async with work.begin() as repositories:
            await repositories.erasures.add_tombstone(a_tombstone(a_customer(), epoch=1))
            assert await repositories.erasures.marked_until(a_customer()) == SOON
            assert await repositories.erasures.marked_until(a_customer("somebody else")) is None

    async def test_a_key_is_found_with_its_account_and_can_be_revoked(self, work: UnitOfWork) -> None:
        key = ApiKey(
            key_id=KeyId("abc"),
            account_id=ACME,
            digest=b"d" * 32,
            label="kiosk",
            created_at=NOON,
            scopes=frozenset({KeyScope.TRY_ON, KeyScope.UPLOAD}),
            expires_at=A_WEEK_LATER,
            requests_per_minute=9,
        )
        async with work.begin() as repositories:
            await repositories.accounts.add_key(key)
        async with work.begin() as repositories:
            assert await repositories.accounts.find_key(KeyId("abc")) == (key, an_account(ACME))
            await repositories.accounts.save_key(key.revoked(SOON))
        async with work.read() as repositories:
            assert await repositories.accounts.list_keys(ACME) == (replace(key, revoked_at=SOON),)
            assert await repositories.accounts.list_keys(OTHER) == ()
            assert await repositories.accounts.find_key(KeyId("unknown")) is None

    async def test_the_use_of_a_key_is_noted_and_its_end_can_be_moved(self, work: UnitOfWork) -> None:
        key = ApiKey(key_id=KeyId("abc"), account_id=ACME, digest=b"d" * 32, label="kiosk", created_at=NOON)
        async with work.begin() as repositories:
            await repositories.accounts.add_key(key)
        async with work.begin() as repositories:
            await repositories.accounts.note_use_of_key(key, SOON)
        async with work.begin() as repositories:
            await repositories.accounts.save_key(key.ending(A_WEEK_LATER))
        async with work.read() as repositories:
            assert await repositories.accounts.list_keys(ACME) == (
                replace(key, last_used_at=SOON, expires_at=A_WEEK_LATER),
            )

    async def test_a_name_belongs_to_one_account(self, work: UnitOfWork) -> None:
        async def add_a_second_acme() -> None:
            async with work.begin() as repositories:
                await repositories.accounts.add(an_account(AccountId("acc_second"), name=ACME))

        with pytest.raises(AccountExists):
            await add_a_second_acme()
        async with work.read() as repositories:
            assert await repositories.accounts.find_by_name(ACME) == an_account(ACME)

    async def test_accounts_are_found_by_name_and_listed_in_order(self, work: UnitOfWork) -> None:
        async with work.read() as repositories:
            assert await repositories.accounts.find_by_name(ACME) == an_account(ACME)
            assert await repositories.accounts.find_by_name("nobody") is None
            assert [account.account_id for account in await repositories.accounts.list()] == [ACME, OTHER]

    async def test_rows_are_walked_in_the_order_of_their_ids_bytes(self, work: UnitOfWork) -> None:
        for image_id in ("img_b", "img_B", "img_-", "img__"):
            await given_stored(work, an_image(image_id))
        await given_pending(work, an_image("img_a"))
        await given_stored(work, an_image("img_other", keep_for_days=1))
        async with work.read() as repositories:
            first = await repositories.images.known_after(RetentionPolicy(7), "", 3)
            rest = await repositories.images.known_after(RetentionPolicy(7), "img__", 3)
            known = await repositories.images.objects_of([ImageId("img_a"), ImageId("img_9")])
            assert await repositories.images.count() == 6
        assert [image.image_id for image in first] == ["img_-", "img_B", "img__"]
        assert [(image.image_id, image.is_stored) for image in rest] == [("img_a", False), ("img_b", True)]
        assert known == {"ttl-7d/img_a.jpg"}

    async def test_only_what_is_stored_is_marked_as_stored(self, work: UnitOfWork) -> None:
        await given_stored(work, an_image("img_1"))
        await given_pending(work, an_image("img_2"))
        async with work.begin() as repositories:
            known = [ImageId("img_1"), ImageId("img_2")]
            marked = await repositories.images.mark_known_deleting(known, SOON, only_stored=True)
        assert ids(marked) == ["img_1"]

    async def test_what_is_past_its_expiry_and_still_there_is_overdue(self, work: UnitOfWork) -> None:
        await given_stored(work, an_image("img_1", keep_for_days=1))
        marked = await given_stored(work, an_image("img_2", keep_for_days=3))
        await given_stored(work, an_image("img_3", keep_for_days=7))
        await given_pending(work, an_image("img_4", keep_for_days=1))
        now = NOON + timedelta(days=3, hours=1)
        async with work.begin() as repositories:
            await repositories.images.mark_deleting(marked.image_id, ACME, now + timedelta(minutes=1))
        async with work.read() as repositories:
            assert await repositories.images.overdue(NOON + timedelta(hours=23)) == Overdue()
            assert await repositories.images.overdue(now) == Overdue(2, timedelta(days=2, hours=1))

    async def test_an_accounts_live_images_are_those_that_are_stored_or_on_their_way(self, work: UnitOfWork) -> None:
        await given_stored(work, an_image("img_1"))
        await given_pending(work, an_image("img_2"))
        marked = await given_stored(work, an_image("img_3"))
        await given_stored(work, an_image("img_4", account_id=OTHER))
        async with work.begin() as repositories:
            await repositories.images.mark_deleting(marked.image_id, ACME, SOON)
            assert await repositories.images.count_live(ACME) == 2

    async def test_an_accounts_live_images_are_listed_in_the_order_in_which_they_go(self, work: UnitOfWork) -> None:
        await given_stored(work, an_image("img_1", keep_for_days=7))
        await given_stored(work, an_image("img_2", keep_for_days=1))
        await given_pending(work, an_image("img_3"))
        await given_stored(work, an_image("img_4", account_id=OTHER))
        marked = await given_stored(work, an_image("img_5", keep_for_days=3))
        async with work.begin() as repositories:
            await repositories.images.mark_deleting(marked.image_id, ACME, SOON)
        async with work.read() as repositories:
            listed = await repositories.images.live_of(ACME, None, 10)
            assert [image.image_id for image in listed] == ["img_3", "img_2", "img_1"]
            assert [image.image_id for image in await repositories.images.live_of(ACME, None, 2)] == ["img_3", "img_2"]
            soon = await repositories.images.live_of(ACME, NOON + timedelta(days=2), 10)
            assert [image.image_id for image in soon] == ["img_3", "img_2"]

    async def test_a_changed_account_keeps_its_name_and_its_erasures(self, work: UnitOfWork) -> None:
        async with work.begin() as repositories:
            await repositories.erasures.advance_epoch(ACME)
            changed = replace(
                an_account(ACME, keep_for_days=1), is_active=False, requests_per_minute=600, max_live_images=0
            )
            await repositories.accounts.save(changed)
        async with work.read() as repositories:
            assert await repositories.accounts.find(ACME) == replace(changed, erasure_epoch=1)
            assert await repositories.accounts.find(OTHER) == an_account(OTHER)

    async def test_an_erasure_is_open_until_it_is_completed(self, work: UnitOfWork) -> None:
        record = ErasureRecord(erasure_id=ERA, account_id=ACME, requested_at=NOON, image_count=0)
        async with work.begin() as repositories:
            await repositories.erasures.open_record(record, [], A_WEEK_LATER)
            assert await repositories.erasures.count_open() == 1
            await repositories.erasures.complete_records(NOON)
            assert await repositories.erasures.count_open() == 0
