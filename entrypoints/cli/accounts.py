"""Accounts and their API keys."""

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from domain.account import Account
from domain.retention import RetentionPolicy
from entrypoints.cli.console import EXIT_UNAVAILABLE, as_json, confirm, confirmed, run, show, show_one

if TYPE_CHECKING:
    from entrypoints.wiring.container import Container

DEFAULT = "default"
UNLIMITED = "unlimited"
MAX_DIGITS = 9
"""A billion does not fit the column."""
DAYS = click.Choice([str(days) for days in RetentionPolicy.ALLOWED_DAYS])


def number_or(word: str, max_digits: int | None = None) -> Callable[[str], int | str]:
    """Takes a whole number, or the word that takes a limit away."""

    def parse(text: str) -> int | str:
        if text == word:
            return text
        if not (text.isascii() and text.isdigit() and len(text) <= (max_digits or len(text))):
            raise click.BadParameter(f"{text!r} is neither a whole number nor `{word}`")
        return int(text)

    return parse


@click.group()
def accounts() -> None:
    """Merchants whose images are kept."""


@accounts.command("create")
@click.argument("name")
@click.option("--keep-for-days", type=DAYS, default="7", show_default=True, help="Retention when an upload names none.")
@as_json
def create_account(name: str, keep_for_days: str, json_output: bool) -> None:
    """Create an account called NAME.

    \b
    Example: tryon-images accounts create acme --keep-for-days 3
    """
    retention = RetentionPolicy(int(keep_for_days))
    created = run(lambda container: container.create_account().execute(name, retention))
    show_one(_account(created), json_output=json_output)


@accounts.command("list")
@as_json
def list_accounts(json_output: bool) -> None:
    """List all accounts."""
    found: tuple[Account, ...] = run(lambda container: container.list_accounts().accounts())
    show([_account(account) for account in found], json_output=json_output, empty="There are no accounts yet.")


@accounts.command("set-retention")
@click.argument("name")
@click.argument("keep_for_days", type=DAYS)
@as_json
def set_retention(name: str, keep_for_days: str, json_output: bool) -> None:
    """Keep what the account NAME uploads from now on for KEEP_FOR_DAYS, unless an upload says otherwise.

    \b
    Example: tryon-images accounts set-retention acme 3
    """
    retention = RetentionPolicy(int(keep_for_days))
    _change(name, lambda account: replace(account, default_retention=retention), json_output=json_output)


@accounts.command("set-limits")
@click.argument("name")
@click.option(
    "--requests-per-minute",
    type=number_or(DEFAULT),
    metavar="N",
    help="A number, 0 for no limit, or `default`: what the settings say.",
)
@click.option("--max-live-images", type=number_or(DEFAULT), metavar="N", help="A number, or `default`: no limit.")
@as_json
def set_limits(
    name: str, requests_per_minute: int | str | None, max_live_images: int | str | None, json_output: bool
) -> None:
    """Bound what the account NAME may ask and keep; an option that is left out changes nothing.

    \b
    Example: tryon-images accounts set-limits acme --requests-per-minute 600 --max-live-images 50000
    """

    def limited(account: Account) -> Account:
        return replace(
            account,
            requests_per_minute=_limit(requests_per_minute, account.requests_per_minute),
            max_live_images=_limit(max_live_images, account.max_live_images),
        )

    _change(name, limited, json_output=json_output)


@accounts.command("set-credits")
@click.argument("name")
@click.argument("number", type=number_or(UNLIMITED, MAX_DIGITS), metavar="N|unlimited")
@as_json
def set_credits(name: str, number: int | str, json_output: bool) -> None:
    """Let the account NAME start N more try-ons; one that fails is given back.

    \b
    Example: tryon-images accounts set-credits acme 500
    """
    left = None if number == UNLIMITED else int(number)
    show_one(_account(run(lambda container: container.set_credits().execute(name, left))), json_output=json_output)


@accounts.command("deactivate")
@click.argument("name")
@confirmed
@click.option("--dry-run", is_flag=True, help="Only count the keys that would be refused.")
@as_json
def deactivate(name: str, yes: bool, dry_run: bool, json_output: bool) -> None:
    """Refuse all keys of the account NAME until it is activated again. Its images expire as they would anyway.

    Links to them answer 404 at once; those that a bucket serves itself end with their time.

    \b
    Example: tryon-images accounts deactivate acme --yes
    """
    count = run(lambda container: _count_live_keys(container, name))
    if dry_run:
        show_one({"keysRefused": count}, json_output=json_output)
        return
    confirm(f"Deactivate {name}? Clients that use its {count} keys will be refused at once.", yes=yes)
    _change(name, lambda account: replace(account, is_active=False), json_output=json_output)


@accounts.command("activate")
@click.argument("name")
@as_json
def activate(name: str, json_output: bool) -> None:
    """Accept the keys of the account NAME again."""
    _change(name, lambda account: replace(account, is_active=True), json_output=json_output)


@accounts.command("delete")
@click.argument("name")
@confirmed
@click.option("--dry-run", is_flag=True, help="Only count what would go.")
@as_json
def delete_account(name: str, yes: bool, dry_run: bool, json_output: bool) -> None:
    """Revoke all keys of the account NAME and delete all its images and products. Run it again after an outage.

    The name stays taken and the account can be activated again, for new images: records of erasures name it.

    \b
    Example: tryon-images accounts delete acme --dry-run
    """

    async def count(container: "Container") -> dict[str, int]:
        keys = await _count_live_keys(container, name)
        account = await container.list_accounts().named(name)
        async with container.work().read() as repositories:
            return {
                "keysRevoked": keys,
                "imagesDeleted": await repositories.images.count_live(account.account_id),
                "productsDeleted": await repositories.products.count(account.account_id),
            }

    there = run(count)
    if dry_run:
        show_one(there, json_output=json_output)
        return
    whole = "{imagesDeleted} images, {productsDeleted} products and {keysRevoked} keys".format_map(there)
    confirm(f"Delete {whole} of {name}? This cannot be undone.", yes=yes)
    done = run(lambda container: container.delete_account().execute(name))
    show_one(
        {
            "keysRevoked": done.keys,
            "imagesDeleted": done.images,
            "productsDeleted": done.products,
            "bytesLeft": done.bytes_left,
        },
        json_output=json_output,
    )
    if done.bytes_left:
        click.echo("The images are unreachable; their bytes go as soon as storage is back.", err=True)
        raise SystemExit(EXIT_UNAVAILABLE)


def _limit(wanted: int | str | None, current: int | None) -> int | None:
    if wanted is None:
        return current
    return None if wanted == DEFAULT else int(wanted)


def _change(name: str, change: Callable[[Account], Account], *, json_output: bool) -> None:
    show_one(_account(run(lambda container: container.change_account().execute(name, change))), json_output=json_output)


async def _count_live_keys(container: "Container", name: str) -> int:
    listing = container.list_accounts()
    account = await listing.named(name)
    return sum(key.revoked_at is None for key in await listing.keys(account.account_id))


def _account(account: Account) -> dict[str, Any]:
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
