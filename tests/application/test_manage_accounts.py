"""Accounts and keys, as the operator makes, changes and ends them."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import timedelta

import pytest

from adapters.memory.surroundings import InMemoryObjectStore
from adapters.memory.unit_of_work import InMemoryUnitOfWork
from application.audit import ReadAudit
from application.delete_images import FinishDeletion
from application.manage_accounts import (
    ChangeAccount,
    CreateAccount,
    CreateKey,
    DeleteAccount,
    KeyGrant,
    ListAccounts,
    NewKey,
    RevokeKey,
    RotateKey,
    SetCredits,
)
from domain.account import EVERY_SCOPE, KeyId, KeyScope, PresentedKey, RetentionPolicy
from domain.erasure import Action
from domain.errors import AccountExists, AccountNotFound, KeyNotFound
from domain.product import Product
from tests.builders import (
    ACME,
    NOON,
    OTHER,
    CountingRandom,
    MovableClock,
    a_database_with_accounts,
    a_stored_photo,
    an_image,
)
from tests.contracts.try_on_repositories import a_request

DAY = timedelta(days=1)


class Unreachable(InMemoryObjectStore):
    """Deletes nothing."""

    async def delete(self, names: Iterable[str]) -> frozenset[str]:
        return frozenset(names)


class Office:
    """The use cases on one database."""

    def __init__(self, work: InMemoryUnitOfWork) -> None:
        self.work, self.clock, self.random = work, MovableClock(), CountingRandom()
        self.create_key = CreateKey(work, self.clock, self.random)

    async def key(self, grant: KeyGrant | None = None) -> NewKey:
        return await self.create_key.execute("acc_acme", "shop", **({"grant": grant} if grant else {}))

    async def delete(self, objects: InMemoryObjectStore, name: str = "acc_acme", batch: int = 500) -> tuple[int, ...]:
        finish = FinishDeletion(objects, self.work, self.clock)
        done = await DeleteAccount(self.work, finish, self.clock, batch).execute(name)
        return done.images, done.keys, done.products, done.bytes_left

    async def store(self, objects: InMemoryObjectStore, *image_ids: str) -> None:
        for image_id in image_ids:
            image = an_image(image_id)
            await objects.put(image.object_name, b"photo")
            async with self.work.begin() as repositories:
                await repositories.images.reserve(image)
                await repositories.images.publish(image, a_stored_photo())


@pytest.fixture
async def office() -> Office:
    return Office(await a_database_with_accounts())


async def test_an_account_has_a_name_of_its_own(office: Office) -> None:
    create = CreateAccount(office.work, office.clock, office.random)
    made = await create.execute("new", RetentionPolicy(3))
    assert (made.name, made.default_retention, made.created_at) == ("new", RetentionPolicy(3), NOON)
    with pytest.raises(AccountExists):
        await create.execute("new", RetentionPolicy(3))
    accounts = await ListAccounts(office.work).accounts()
    assert [account.name for account in accounts] == ["acc_acme", "acc_other", "new"]
    assert await ListAccounts(office.work).named("new") == made


async def test_an_account_is_changed_by_name(office: Office) -> None:
    change = ChangeAccount(office.work, office.clock)
    changed = await change.execute("acc_acme", lambda account: replace(account, max_live_images=7))
    assert changed.max_live_images == 7
    assert (await ListAccounts(office.work).accounts())[0] == changed
    with pytest.raises(AccountNotFound):
        await change.execute("nobody", lambda account: account)


async def test_credits_are_set_by_name(office: Office) -> None:
    assert (await SetCredits(office.work, office.clock).execute("acc_acme", 5)).credits == 5
    assert (await ListAccounts(office.work).accounts())[0].credits == 5
    with pytest.raises(AccountNotFound):
        await SetCredits(office.work, office.clock).execute("nobody", 5)


async def test_a_key_may_do_everything_for_ever_unless_told_otherwise(office: Office) -> None:
    made = await office.key()
    assert (made.key.scopes, made.key.expires_at, made.key.requests_per_minute) == (EVERY_SCOPE, None, None)
    presented = PresentedKey.parse(made.secret)
    assert presented is not None
    assert made.key.admits(presented, NOON + 4000 * DAY)
    assert (made.key.label, made.key.created_at, made.key.account_id) == ("shop", NOON, ACME)
    assert await ListAccounts(office.work).keys(ACME) == (made.key,)
    assert await ListAccounts(office.work).keys(OTHER) == ()
    with pytest.raises(AccountNotFound):
        await office.create_key.execute("nobody", "shop")


class KeylessRandom(CountingRandom):
    """Makes something else."""

    def api_key(self) -> str:
        return "not a key"


async def test_what_is_no_key_is_not_kept_as_one(office: Office) -> None:
    with pytest.raises(ValueError, match="not a key"):
        await CreateKey(office.work, office.clock, KeylessRandom()).execute("acc_acme", "shop")


async def test_a_new_key_has_what_the_old_one_had_and_the_old_one_ends(office: Office) -> None:
    grant = KeyGrant(frozenset({KeyScope.UPLOAD}), 10 * DAY, 7)
    old = (await office.key(grant)).key
    assert old.expires_at == NOON + 10 * DAY
    office.clock.advance(days=4)
    new = (await RotateKey(office.create_key).execute(old.key_id, DAY)).key
    assert (new.scopes, new.requests_per_minute, new.label) == (grant.scopes, 7, "shop")
    assert (new.created_at, new.expires_at) == (NOON + 4 * DAY, NOON + 14 * DAY)
    ended, _ = await ListAccounts(office.work).keys(ACME)
    assert (ended.key_id, ended.expires_at) == (old.key_id, NOON + 5 * DAY)


async def test_a_key_without_an_end_is_followed_by_one_without_an_end(office: Office) -> None:
    old = (await office.key()).key
    assert (await RotateKey(office.create_key).execute(old.key_id, DAY)).key.expires_at is None


async def test_a_revoked_key_stays_revoked_and_is_not_rotated(office: Office) -> None:
    key_id = (await office.key()).key.key_id
    revoke = RevokeKey(office.work, office.clock)
    assert (await revoke.execute(key_id)).revoked_at == NOON
    office.clock.advance(days=1)
    assert (await revoke.execute(key_id)).revoked_at == NOON
    assert (await ListAccounts(office.work).keys(None))[0].revoked_at == NOON
    with pytest.raises(KeyNotFound):
        await RotateKey(office.create_key).execute(key_id, DAY)


async def test_an_unknown_key_is_neither_rotated_nor_revoked(office: Office) -> None:
    with pytest.raises(KeyNotFound):
        await RotateKey(office.create_key).execute(KeyId("none"), DAY)
    with pytest.raises(KeyNotFound):
        await RevokeKey(office.work, office.clock).execute(KeyId("none"))


async def test_with_an_account_go_its_images_keys_products_and_requests(office: Office) -> None:
    objects = InMemoryObjectStore()
    await office.store(objects, "img_1", "img_2", "img_3")
    await office.key()
    revoked = (await office.key()).key
    await RevokeKey(office.work, office.clock).execute(revoked.key_id)
    async with office.work.begin() as repositories:
        await repositories.products.add(Product.tried_on(ACME, "shirt", NOON))
        await repositories.requests.add(a_request(), NOON)
    assert await office.delete(objects, batch=2) == (3, 1, 1, 0)
    assert [name async for name in objects.names()] == []
    account = (await ListAccounts(office.work).accounts())[0]
    assert not account.is_active
    assert [key.revoked_at for key in await ListAccounts(office.work).keys(ACME)] == [NOON, NOON]
    async with office.work.begin() as repositories:
        assert await repositories.products.count(ACME) == 0
        assert await repositories.requests.add(a_request(), NOON) is None
    assert await office.delete(objects) == (0, 0, 0, 0)


async def test_bytes_that_storage_keeps_are_counted_and_left_to_a_purger_for_a_minute(office: Office) -> None:
    objects = Unreachable()
    await office.store(objects, "img_1")
    await office.store(objects, "img_2")
    assert await office.delete(objects, batch=1) == (2, 0, 0, 2)
    async with office.work.begin() as repositories:
        almost = NOON + timedelta(seconds=59)
        assert (await repositories.images.mark_due_deleting(almost, almost, 9)).images == ()
        assert len((await repositories.images.mark_due_deleting(NOON + timedelta(minutes=1), NOON, 9)).images) == 2


async def test_an_unknown_account_is_not_deleted(office: Office) -> None:
    with pytest.raises(AccountNotFound):
        await office.delete(InMemoryObjectStore(), "nobody")


async def test_what_the_operator_does_stands_in_the_audit_log(office: Office) -> None:
    grant = KeyGrant(frozenset({KeyScope.UPLOAD, KeyScope.READ}), DAY)
    office.clock.advance(milliseconds=5)
    account = await CreateAccount(office.work, office.clock, office.random).execute("new", RetentionPolicy(3))
    change = ChangeAccount(office.work, office.clock)
    await change.execute("new", lambda it: replace(it, requests_per_minute=5, max_live_images=6))
    await SetCredits(office.work, office.clock).execute("new", 7)
    old = (await office.create_key.execute("new", "of Ann", grant=grant)).key
    new = (await RotateKey(office.create_key).execute(old.key_id, DAY)).key
    await RevokeKey(office.work, office.clock).execute(old.key_id)
    await office.delete(InMemoryObjectStore(), "new")
    entries = [entry async for entry in ReadAudit(office.work).execute(None, account.account_id)]
    tomorrow = "2026-11-23T12:00:00+00:00"
    may = {"scopes": "read upload", "expires_at": tomorrow}
    limits = {"is_active": True, "keep_for_days": 3, "requests_per_minute": 5, "max_live_images": 6}
    assert [(entry.action, entry.subject, entry.facts) for entry in entries] == [
        (Action.ACCOUNT_CREATED, None, {"name": "new"}),
        (Action.ACCOUNT_CHANGED, None, limits),
        (Action.CREDITS_SET, None, {"credits": 7}),
        (Action.KEY_CREATED, old.key_id, may),
        (Action.KEY_ROTATED, new.key_id, {**may, "replaces": old.key_id}),
        (Action.KEY_REVOKED, old.key_id, {}),
        (Action.ACCOUNT_DELETED, None, {"keys": 1}),
    ]
    assert {(entry.at, entry.actor) for entry in entries} == {(office.clock.now(), "service")}
