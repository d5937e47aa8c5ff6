"""Accounts, and the API keys that open them."""

import re
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import click

from application.manage_accounts import KeyGrant, NewKey
from domain.account import EVERY_SCOPE, Account, AccountId, ApiKey, KeyId, KeyScope, RetentionPolicy
from domain.errors import KeyNotFound
from entrypoints.cli.console import (
    BYTES_LEFT,
    DAYS,
    EXIT_UNAVAILABLE,
    Answer,
    Row,
    answers,
    confirm,
    destructive,
    fail,
    in_account,
    run,
)

if TYPE_CHECKING:
    from entrypoints.wiring.container import Container

DEFAULT: Final = "default"
UNLIMITED: Final = "unlimited"
MAX_DIGITS: Final = 9
MOST: Final = 10**MAX_DIGITS - 1
"""More does not fit the columns."""
LIFETIME: Final = re.compile(r"([1-9][0-9]{0,3})([hd])")


def number_or(word: str) -> Callable[[str], int | str]:
    """Takes a whole number, or the word that takes a limit away."""

    def parse(text: str) -> int | str:
        if text == word:
            return text
        if not (text.isascii() and text.isdigit() and len(text) <= MAX_DIGITS):
            raise click.BadParameter(f"{text!r} is neither a whole number below a billion nor `{word}`")
        return int(text)

    return parse


def lifetime(text: str) -> timedelta:
    """`12h` or `90d`."""
    if (found := LIFETIME.fullmatch(text)) is None:
        raise click.BadParameter(f"{text!r} is no time like 12h or 90d")
    number = int(found[1])
    return timedelta(hours=number) if found[2] == "h" else timedelta(days=number)


async def account_id(container: "Container", name: str) -> AccountId:
    """Raises: AccountNotFound, Overloaded."""
    return (await container.list_accounts().named(name)).account_id


@click.group()
def accounts() -> None:
    """Merchants whose images are kept."""


@accounts.command("create")
@click.argument("name")
@click.option("--keep-for-days", type=DAYS, default="7", show_default=True, help="Retention when an upload names none.")
@answers
def create_account(name: str, keep_for_days: str) -> Row:
    """Create an account called NAME.

    \b
    Example: tryon-images accounts create acme --keep-for-days 3
    """
    retention = RetentionPolicy(int(keep_for_days))
    return _account(run(lambda container: container.create_account().execute(name, retention)))


@accounts.command("list")
@answers
def list_accounts() -> Answer:
    """List all accounts."""
    found = run(lambda container: container.list_accounts().accounts())
    return Answer([*map(_account, found)], empty="There are no accounts yet.")


@accounts.command("set-retention")
@click.argument("name")
@click.argument("keep_for_days", type=DAYS)
@answers
def set_retention(name: str, keep_for_days: str) -> Row:
    """Keep what the account NAME uploads from now on for KEEP_FOR_DAYS, unless an upload says otherwise.

    \b
    Example: tryon-images accounts set-retention acme 3
    """
    return _changed(name, default_retention=RetentionPolicy(int(keep_for_days)))


@accounts.command("set-limits")
@click.argument("name")
@click.option(
    "--requests-per-minute",
    type=number_or(DEFAULT),
    metavar="N",
    help="A number, 0 for no limit, or `default`: what the settings say.",
)
@click.option("--max-live-images", type=number_or(DEFAULT), metavar="N", help="A number, or `default`: no limit.")
@answers
def set_limits(name: str, requests_per_minute: int | str | None, max_live_images: int | str | None) -> Row:
    """Bound what the account NAME may ask and keep; an option that is left out changes nothing.

    \b
    Example: tryon-images accounts set-limits acme --requests-per-minute 600 --max-live-images 50000
    """
    limits = {"requests_per_minute": requests_per_minute, "max_live_images": max_live_images}
    given = {field: number for field, number in limits.items() if number is not None}
    return _changed(name, **{field: None if number == DEFAULT else number for field, number in given.items()})


@accounts.command("set-credits")
@click.argument("name")
@click.argument("number", type=number_or(UNLIMITED), metavar="N|unlimited")
@answers
def set_credits(name: str, number: int | str) -> Row:
    """Let the account NAME start N more try-ons; one that fails is given back.

    \b
    Example: tryon-images accounts set-credits acme 500
    """
    left = None if number == UNLIMITED else int(number)
    return _account(run(lambda container: container.set_credits().execute(name, left)))


@accounts.command("deactivate")
@click.argument("name")
@destructive("Only count the keys that would be refused.")
@answers
def deactivate(name: str, yes: bool, dry_run: bool) -> Row:
    """Refuse all keys of the account NAME until it is activated again. Its images expire as they would anyway.

    Links to them answer 404 at once; those that a bucket serves itself end with their time.

    \b
    Example: tryon-images accounts deactivate acme --yes
    """
    count = run(lambda container: _count_live_keys(container, name))
    if dry_run:
        return {"keysRefused": count}
    confirm(f"Deactivate {name}? Clients that use its {count} keys will be refused at once.", yes=yes)
    return _changed(name, is_active=False)


@accounts.command("activate")
@click.argument("name")
@answers
def activate(name: str) -> Row:
    """Accept the keys of the account NAME again."""
    return _changed(name, is_active=True)


@accounts.command("delete")
@click.argument("name")
@destructive("Only count what would go.")
@answers
def delete_account(name: str, yes: bool, dry_run: bool) -> Row | Answer:
    """Revoke all keys of the account NAME and delete all its images and products. Run it again after an outage.

    The name stays taken and the account can be activated again, for new images: records of erasures name it.

    \b
    Example: tryon-images accounts delete acme --dry-run
    """

    async def count(container: "Container") -> dict[str, int]:
        keys = await _count_live_keys(container, name)
        account = await account_id(container, name)
        async with container.work().read() as repositories:
            return {
                "keysRevoked": keys,
                "imagesDeleted": await repositories.images.count_live(account),
                "productsDeleted": await repositories.products.count(account),
            }

    there = run(count)
    if dry_run:
        return there
    whole = "{imagesDeleted} images, {productsDeleted} products and {keysRevoked} keys".format_map(there)
    confirm(f"Delete {whole} of {name}? This cannot be undone.", yes=yes)
    done = run(lambda container: container.delete_account().execute(name))
    facts = {
        "keysRevoked": done.keys,
        "imagesDeleted": done.images,
        "productsDeleted": done.products,
        "bytesLeft": done.bytes_left,
    }
    return Answer(facts, words=[BYTES_LEFT], code=EXIT_UNAVAILABLE) if done.bytes_left else facts


def _changed(name: str, **fields: Any) -> Row:
    return _account(run(lambda container: container.change_account().execute(name, partial(replace, **fields))))


async def _count_live_keys(container: "Container", name: str) -> int:
    keys = await container.list_accounts().keys(await account_id(container, name))
    return sum(key.revoked_at is None for key in keys)


def _account(account: Account) -> Row:
    return {
        "name": account.name,
        "id": account.account_id,
        "keepForDays": account.default_retention.keep_for_days,
        "active": account.is_active,
        "requestsPerMinute": account.requests_per_minute,
        "maxLiveImages": account.max_live_images,
        "credits": account.credits,
        "createdAt": account.created_at,
    }


@click.group()
def keys() -> None:
    """API keys, which open accounts."""


@keys.command("create")
@in_account()
@click.option("--name", "--label", "label", default="", help="What the key is for, at most 100 characters.")
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    type=click.Choice([str(scope) for scope in KeyScope]),
    help="What it may do; may be given several times. All, if it is not given.",
)
@click.option("--expires", type=lifetime, metavar="12h|90d", help="When it ends. Never, if it is not given.")
@click.option("--requests-per-minute", type=click.IntRange(1, MOST), metavar="N", help="A limit within the account's.")
@answers
def create_key(
    account: str, label: str, scopes: tuple[str, ...], expires: timedelta | None, requests_per_minute: int | None
) -> Row:
    """Create a key and print it; it is not kept and cannot be shown again.

    \b
    Example: tryon-images keys create --account acme --name kiosk-7 --scope upload --expires 90d
    """
    grant = KeyGrant(frozenset(map(KeyScope, scopes)) or EVERY_SCOPE, expires, requests_per_minute)
    return _new(run(lambda container: container.create_key().execute(account, label, grant=grant)))


@keys.command("rotate")
@click.argument("key_id")
@click.option(
    "--overlap",
    type=lifetime,
    metavar="12h|90d",
    default="7d",
    show_default=True,
    help="How long the old key still works.",
)
@answers
def rotate_key(key_id: str, overlap: timedelta) -> Row:
    """Create a key that may do what KEY_ID may, and let KEY_ID end after a while.

    `keys list` shows when a key was last used, and every log line names the key of its request: the old one is out of
    use when neither moves any more.

    \b
    Example: tryon-images keys rotate 3f9a1c20b7de --overlap 14d
    """
    return _new(run(lambda container: container.rotate_key().execute(KeyId(key_id), overlap)))


@keys.command("list")
@click.option("--account", help="Only this account's keys.")
@answers
def list_keys(account: str | None) -> Answer:
    """List keys by their ids; the keys themselves are not kept."""

    async def find(container: "Container") -> tuple[ApiKey, ...]:
        return await container.list_accounts().keys(None if account is None else await account_id(container, account))

    return Answer([*map(_key, run(find))], empty="There are no keys yet.")


@keys.command("revoke")
@click.argument("key_id")
@destructive("Only show the key that would be refused.")
@answers
def revoke_key(key_id: str, yes: bool, dry_run: bool) -> Row:
    """Refuse the key with the id KEY_ID from now on.

    \b
    Example: tryon-images keys revoke 3f9a1c20b7de --yes
    """
    there = run(lambda container: container.list_accounts().keys(None))
    found = next((key for key in there if key.key_id == key_id), None)
    if found is None:
        fail(str(KeyNotFound(key_id)))
    if dry_run:
        return _key(found)
    confirm(f"Revoke {key_id}? Clients that use it will be refused at once.", yes=yes)
    return _key(run(lambda container: container.revoke_key().execute(KeyId(key_id))))


def _key(key: ApiKey) -> dict[str, Any]:
    return {
        "id": key.key_id,
        "account": key.account_id,
        "label": key.label,
        "scopes": "all" if key.scopes == EVERY_SCOPE else " ".join(sorted(key.scopes)),
        "requestsPerMinute": key.requests_per_minute,
        "createdAt": key.created_at,
        "expiresAt": key.expires_at,
        "lastUsedAt": key.last_used_at,
        "revokedAt": key.revoked_at,
    }


def _new(made: NewKey) -> Row:
    return {"key": made.secret, **_key(made.key)}
