"""Accounts and API keys, for the operator."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from application.audit import audited
from application.delete_images import TAKE_OVER_AFTER, FinishDeletion
from application.ports.rows import ImageToDelete, Repositories, UnitOfWork
from application.ports.system import Clock, RandomSource
from domain.account import EVERY_SCOPE, Account, AccountId, ApiKey, KeyId, KeyScope, PresentedKey, RetentionPolicy
from domain.erasure import Action, AuditEntry
from domain.errors import AccountNotFound, KeyNotFound


async def account_named(name: str, repositories: Repositories) -> Account:
    """Raises: AccountNotFound."""
    account = await repositories.accounts.find_by_name(name)
    if account is None:
        raise AccountNotFound(name)
    return account


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key that was just made: `secret` is the whole key as the client sends it, shown this once."""

    key: ApiKey
    secret: str


@dataclass(frozen=True, slots=True)
class CreateAccount:
    """Names are for people; they are unique so that a command line can use them."""

    work: UnitOfWork
    clock: Clock
    random: RandomSource

    async def execute(self, name: str, default_retention: RetentionPolicy) -> Account:
        """Raises: AccountExists, Overloaded."""
        account = Account(
            account_id=self.random.account_id(),
            name=name,
            default_retention=default_retention,
            created_at=self.clock.now(),
        )
        async with self.work.begin() as repositories:
            await repositories.accounts.add(account)
            entry = audited(account.created_at, Action.ACCOUNT_CREATED, account.account_id, name=name)
            await repositories.audit.add(entry)
        return account


@dataclass(frozen=True, slots=True)
class ChangeAccount:
    """Its retention, its limits, whether it is active. Holds from the next request on; images keep their own expiry."""

    work: UnitOfWork
    clock: Clock

    async def execute(self, name: str, change: Callable[[Account], Account]) -> Account:
        """Raises: AccountNotFound, Overloaded."""
        async with self.work.begin() as repositories:
            account = await repositories.accounts.hold_by_name(name)
            if account is None:
                raise AccountNotFound(name)
            changed = change(account)
            await repositories.accounts.save(changed)
            entry = audited(
                self.clock.now(),
                Action.ACCOUNT_CHANGED,
                account.account_id,
                is_active=changed.is_active,
                keep_for_days=changed.default_retention.keep_for_days,
                requests_per_minute=changed.requests_per_minute,
                max_live_images=changed.max_live_images,
            )
            await repositories.audit.add(entry)
        return changed


@dataclass(frozen=True, slots=True)
class DeletedAccount:
    """`images`: how many were marked for deletion, pictures of products too. `bytes_left`: those whose bytes wait for
    storage.
    """

    images: int
    keys: int
    products: int
    bytes_left: int


@dataclass(frozen=True, slots=True)
class DeleteAccount:
    """No key opens it any more, and all its images, products and idempotency keys go.

    Its row stays, without a way in: audit records name it.

    Idempotent. An upload in flight ends by itself: its image is no longer there to be published.
    """

    work: UnitOfWork
    finish: FinishDeletion
    clock: Clock
    batch_size: int = 500

    async def execute(self, name: str) -> DeletedAccount:
        """Raises: AccountNotFound; Overloaded: the database is down; run it again."""
        now = self.clock.now()
        async with self.work.begin() as repositories:
            account = await repositories.accounts.hold_by_name(name)
            if account is None:
                raise AccountNotFound(name)
            await repositories.accounts.save(replace(account, is_active=False))
            live = [key for key in await repositories.accounts.list_keys(account.account_id) if key.revoked_at is None]
            for key in live:
                await repositories.accounts.save_key(key.revoked(now))
            await repositories.audit.add(audited(now, Action.ACCOUNT_DELETED, account.account_id, keys=len(live)))
        images = bytes_left = 0
        while marked := await self._mark(account.account_id):
            images += len(marked)
            bytes_left += len((await self.finish.execute(marked)).left)
        return DeletedAccount(images, len(live), await self._forget(account.account_id), bytes_left)

    async def _forget(self, account_id: AccountId) -> int:
        """Last, so that a request that was on its way leaves no product. Returns: how many products there were."""
        async with self.work.begin() as repositories:
            products = await repositories.products.count(account_id)
            await repositories.products.remove_all(account_id)
            await repositories.requests.remove_all(account_id)
        return products

    async def _mark(self, account_id: AccountId) -> tuple[ImageToDelete, ...]:
        retry_at = self.clock.now() + TAKE_OVER_AFTER
        async with self.work.begin() as repositories:
            found = await repositories.images.live_of(account_id, None, self.batch_size)
            return await repositories.images.mark_known_deleting([image.image_id for image in found], retry_at)


@dataclass(frozen=True, slots=True)
class SetCredits:
    """How many try-ons an account has left from now on: the cap on what a model may cost for it."""

    work: UnitOfWork
    clock: Clock

    async def execute(self, name: str, credits_left: int | None) -> Account:
        """None: no limit. Raises: AccountNotFound, Overloaded."""
        async with self.work.begin() as repositories:
            account = await account_named(name, repositories)
            await repositories.accounts.set_credits(account.account_id, credits_left)
            entry = audited(self.clock.now(), Action.CREDITS_SET, account.account_id, credits=credits_left)
            await repositories.audit.add(entry)
        return replace(account, credits=credits_left)


@dataclass(frozen=True, slots=True)
class KeyGrant:
    """What a new key may do, for how long and how often; by default everything, until it is revoked."""

    scopes: frozenset[KeyScope] = EVERY_SCOPE
    lifetime: timedelta | None = None
    requests_per_minute: int | None = None


ALL_OF_IT = KeyGrant()


@dataclass(frozen=True, slots=True)
class CreateKey:
    """An account may have any number of keys, so that they can be rotated without an outage."""

    work: UnitOfWork
    clock: Clock
    random: RandomSource

    async def execute(self, account_name: str, label: str, *, grant: KeyGrant = ALL_OF_IT) -> NewKey:
        """Raises: AccountNotFound, Overloaded."""
        async with self.work.begin() as repositories:
            account = await account_named(account_name, repositories)
            made = self.new(account.account_id, label, grant)
            await repositories.accounts.add_key(made.key)
            await repositories.audit.add(_key_entry(Action.KEY_CREATED, made.key.created_at, made.key))
        return made

    def new(self, account_id: AccountId, label: str, grant: KeyGrant) -> NewKey:
        """One that is not kept yet."""
        secret = self.random.api_key()
        presented = PresentedKey.parse(secret)
        if presented is None:
            raise ValueError("the random source made something that is not a key")
        now = self.clock.now()
        key = ApiKey(
            key_id=presented.key_id,
            account_id=account_id,
            digest=presented.digest,
            label=label,
            created_at=now,
            scopes=grant.scopes,
            expires_at=now + grant.lifetime if grant.lifetime else None,
            requests_per_minute=grant.requests_per_minute,
        )
        return NewKey(key, secret)


@dataclass(frozen=True, slots=True)
class RotateKey:
    """A new key that may do what the old one may, for as long; both work until the old one ends."""

    create: CreateKey

    async def execute(self, key_id: KeyId, overlap: timedelta) -> NewKey:
        """Raises: KeyNotFound: unknown or revoked; Overloaded."""
        async with self.create.work.begin() as repositories:
            found = await repositories.accounts.find_key(key_id)
            if found is None or found[0].revoked_at is not None:
                raise KeyNotFound(key_id)
            old, account = found
            lifetime = old.expires_at - old.created_at if old.expires_at else None
            made = self.create.new(
                account.account_id, old.label, KeyGrant(old.scopes, lifetime, old.requests_per_minute)
            )
            await repositories.accounts.add_key(made.key)
            await repositories.accounts.save_key(old.ending(self.create.clock.now() + overlap))
            entry = _key_entry(Action.KEY_ROTATED, made.key.created_at, made.key, replaces=old.key_id)
            await repositories.audit.add(entry)
        return made


@dataclass(frozen=True, slots=True)
class RevokeKey:
    """From the commit on the key is refused; revoking twice is the same as revoking once."""

    work: UnitOfWork
    clock: Clock

    async def execute(self, key_id: KeyId) -> ApiKey:
        """Raises: KeyNotFound, Overloaded."""
        async with self.work.begin() as repositories:
            found = await repositories.accounts.find_key(key_id)
            if found is None:
                raise KeyNotFound(key_id)
            now = self.clock.now()
            revoked = found[0].revoked(now)
            await repositories.accounts.save_key(revoked)
            await repositories.audit.add(audited(now, Action.KEY_REVOKED, revoked.account_id, key_id))
        return revoked


def _key_entry(action: Action, at: datetime, key: ApiKey, **facts: str) -> AuditEntry:
    """Says what the key may do. The label is the operator's and not repeated: it may name a person."""
    ends = key.expires_at.isoformat(timespec="seconds") if key.expires_at else None
    scopes = " ".join(sorted(key.scopes))
    return audited(at, action, key.account_id, key.key_id, scopes=scopes, expires_at=ends, **facts)


@dataclass(frozen=True, slots=True)
class ListAccounts:
    """Accounts in the order of their names, keys in the order of their making."""

    work: UnitOfWork

    async def named(self, name: str) -> Account:
        """Raises: AccountNotFound, Overloaded."""
        async with self.work.read() as repositories:
            return await account_named(name, repositories)

    async def accounts(self) -> tuple[Account, ...]:
        async with self.work.read() as repositories:
            return await repositories.accounts.list()

    async def keys(self, account_id: AccountId | None) -> tuple[ApiKey, ...]:
        async with self.work.read() as repositories:
            return await repositories.accounts.list_keys(account_id)
