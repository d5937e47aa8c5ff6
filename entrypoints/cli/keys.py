"""API keys: what opens accounts."""

import re
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

import click

from application.manage_accounts import KeyGrant, NewKey
from domain.account import EVERY_SCOPE, ApiKey, KeyId, KeyScope
from domain.errors import KeyNotFound
from entrypoints.cli.console import as_json, confirm, confirmed, run, show, show_one

if TYPE_CHECKING:
    from entrypoints.wiring.container import Container

LIFETIME: Final = re.compile(r"([1-9][0-9]{0,3})([hd])")


class Lifetime(click.ParamType[timedelta]):
    """`12h` or `90d`."""

    name = "12h|90d"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> timedelta:
        """Raises: click.BadParameter."""
        if isinstance(value, timedelta):
            return value
        if (found := LIFETIME.fullmatch(str(value))) is None:
            self.fail(f"{value!r} is no time like 12h or 90d", param, ctx)
        number = int(found[1])
        return timedelta(hours=number) if found[2] == "h" else timedelta(days=number)


@click.group()
def keys() -> None:
    """API keys, which open accounts."""


@keys.command("create")
@click.option("--account", default="default", show_default=True, help="Name of the account.")
@click.option("--name", "--label", "label", default="", help="What the key is for, at most 100 characters.")
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    type=click.Choice([str(scope) for scope in KeyScope]),
    help="What it may do; may be given several times. All, if it is not given.",
)
@click.option("--expires", type=Lifetime(), help="When it ends. Never, if it is not given.")
@click.option("--requests-per-minute", type=click.IntRange(1), metavar="N", help="A limit within the account's.")
@as_json
def create_key(  # noqa: PLR0917 - click calls it by keyword
    account: str,
    label: str,
    scopes: tuple[str, ...],
    expires: timedelta | None,
    requests_per_minute: int | None,
    json_output: bool,
) -> None:
    """Create a key and print it; it is not kept and cannot be shown again.

    \b
    Example: tryon-images keys create --account acme --name kiosk-7 --scope upload --expires 90d
    """
    grant = KeyGrant(frozenset(map(KeyScope, scopes)) or EVERY_SCOPE, expires, requests_per_minute)
    _show_new(run(lambda container: container.create_key().execute(account, label, grant=grant)), json_output)


@keys.command("rotate")
@click.argument("key_id")
@click.option("--overlap", type=Lifetime(), default="7d", show_default=True, help="How long the old key still works.")
@as_json
def rotate_key(key_id: str, overlap: timedelta, json_output: bool) -> None:
    """Create a key that may do what KEY_ID may, and let KEY_ID end after a while.

    `keys list` shows when a key was last used, and every log line names the key of its request: the old one is out of
    use when neither moves any more.

    \b
    Example: tryon-images keys rotate 3f9a1c20b7de --overlap 14d
    """
    _show_new(run(lambda container: container.rotate_key().execute(KeyId(key_id), overlap)), json_output)


@keys.command("list")
@click.option("--account", help="Only this account's keys.")
@as_json
def list_keys(account: str | None, json_output: bool) -> None:
    """List keys by their ids; the keys themselves are not kept."""

    async def find(container: "Container") -> tuple[ApiKey, ...]:
        listing = container.list_accounts()
        account_id = (await listing.named(account)).account_id if account is not None else None
        keys: tuple[ApiKey, ...] = await listing.keys(account_id)
        return keys

    show([_key(key) for key in run(find)], json_output=json_output, empty="There are no keys yet.")


@keys.command("revoke")
@click.argument("key_id")
@confirmed
@click.option("--dry-run", is_flag=True, help="Only show the key that would be refused.")
@as_json
def revoke_key(key_id: str, yes: bool, dry_run: bool, json_output: bool) -> None:
    """Refuse the key with the id KEY_ID from now on.

    \b
    Example: tryon-images keys revoke 3f9a1c20b7de --yes
    """
    key = run(lambda container: _the_key(container, KeyId(key_id)))
    if dry_run:
        show_one(_key(key), json_output=json_output)
        return
    confirm(f"Revoke {key_id}? Clients that use it will be refused at once.", yes=yes)
    show_one(_key(run(lambda container: container.revoke_key().execute(KeyId(key_id)))), json_output=json_output)


async def _the_key(container: "Container", key_id: KeyId) -> ApiKey:
    found = [key for key in await container.list_accounts().keys(None) if key.key_id == key_id]
    if not found:
        raise KeyNotFound(key_id)
    return found[0]


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


def _show_new(made: NewKey, json_output: bool) -> None:
    show_one({"key": made.secret, **_key(made.key)}, json_output=json_output)
