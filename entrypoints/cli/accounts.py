"""Accounts and their API keys."""

from typing import Any

import click

from domain.account import Account, ApiKey, KeyId
from domain.errors import AccountNotFound
from domain.retention import RetentionPolicy
from entrypoints.cli.console import as_json, confirmed, run, show, show_one

DAYS = click.Choice([str(days) for days in RetentionPolicy.ALLOWED_DAYS])


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
    show_one(
        _account(run(lambda container: container.create_account().execute(name, retention))), json_output=json_output
    )


@accounts.command("list")
@as_json
def list_accounts(json_output: bool) -> None:
    """List all accounts."""
    found: tuple[Account, ...] = run(lambda container: container.list_accounts().accounts())
    show([_account(account) for account in found], json_output=json_output, empty="There are no accounts yet.")


@click.group()
def keys() -> None:
    """API keys, which open accounts."""


@keys.command("create")
@click.option("--account", default="default", show_default=True, help="Name of the account.")
@click.option("--label", default="", help="What the key is for.")
@as_json
def create_key(account: str, label: str, json_output: bool) -> None:
    """Create a key and print it; it is not kept and cannot be shown again.

    \b
    Example: tryon-images keys create --account acme --label "kiosk 7"
    """
    made = run(lambda container: container.create_key().execute(account, label))
    show_one({"key": made.secret, **_key(made.key)}, json_output=json_output)


@keys.command("list")
@click.option("--account", help="Only this account's keys.")
@as_json
def list_keys(account: str | None, json_output: bool) -> None:
    """List keys by their ids; the keys themselves are not kept."""

    async def find(container: Any) -> tuple[ApiKey, ...]:
        listing = container.list_accounts()
        by_name = {found.name: found.account_id for found in await listing.accounts()}
        if account is not None and account not in by_name:
            raise AccountNotFound(account)
        keys: tuple[ApiKey, ...] = await listing.keys(by_name[account] if account else None)
        return keys

    show([_key(key) for key in run(find)], json_output=json_output, empty="There are no keys yet.")


@keys.command("revoke")
@click.argument("key_id")
@confirmed
@as_json
def revoke_key(key_id: str, yes: bool, json_output: bool) -> None:
    """Refuse the key with the id KEY_ID from now on.

    \b
    Example: tryon-images keys revoke 3f9a1c20b7de --yes
    """
    if not yes:
        click.confirm(f"Revoke {key_id}? Clients that use it will be refused at once.", abort=True, err=True)
    show_one(_key(run(lambda container: container.revoke_key().execute(KeyId(key_id)))), json_output=json_output)


def _account(account: Account) -> dict[str, Any]:
    return {
        "name": account.name,
        "id": account.account_id,
        "keepForDays": account.default_retention.keep_for_days,
        "active": account.is_active,
        "createdAt": account.created_at,
    }


def _key(key: ApiKey) -> dict[str, Any]:
    return {
        "id": key.key_id,
        "account": key.account_id,
        "label": key.label,
        "createdAt": key.created_at,
        "revokedAt": key.revoked_at,
    }
