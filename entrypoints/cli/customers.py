"""Erasure, for the operator."""

import sys
from typing import Any

import click

from application.erase_customer import ErasureOutcome
from domain.customer import Customer
from domain.errors import AccountNotFound
from entrypoints.cli.console import EXIT_UNAVAILABLE, as_json, confirmed, run, show_one


@click.group()
def customers() -> None:
    """End users of a merchant's shop."""


@customers.command("erase")
@click.argument("customer_id", required=False)
@click.option("--account", default="default", show_default=True, help="Name of the account.")
@confirmed
@click.option("--dry-run", is_flag=True, help="Only count what would be erased.")
@as_json
def erase_customer(customer_id: str | None, account: str, yes: bool, dry_run: bool, json_output: bool) -> None:
    """Erase everything of the customer whose external id is CUSTOMER_ID.

    Without CUSTOMER_ID the id is read from standard input, so that it stays out of the process list and the shell's
    history.

    \b
    Examples:
      tryon-images customers erase gid://shopify/Customer/1 --account acme
      printf %s "$ID" | tryon-images customers erase --account acme --yes
    """
    external_id = customer_id if customer_id is not None else sys.stdin.read().rstrip("\n")

    async def count(container: Any) -> int:
        customer = await _customer(container, account, external_id)
        async with container.work().read() as repositories:
            return int(await repositories.images.count_of_customer(customer))

    async def erase(container: Any) -> ErasureOutcome:
        customer = await _customer(container, account, external_id)
        outcome: ErasureOutcome = await container.erase_customer().execute(customer)
        return outcome

    if dry_run:
        show_one({"wouldErase": run(count)}, json_output=json_output)
        return
    if not yes:
        click.confirm("Erase this customer? This cannot be undone.", abort=True, err=True)
    outcome = run(erase)
    show_one(
        {"erasureId": outcome.erasure_id, "images": outcome.images, "bytesLeft": outcome.bytes_left},
        json_output=json_output,
    )
    if outcome.bytes_left:
        click.echo("Storage is down: the images are unreachable, and their bytes go when it is back.", err=True)
        raise SystemExit(EXIT_UNAVAILABLE)


async def _customer(container: Any, account: str, external_id: str) -> Customer:
    async with container.work().read() as repositories:
        found = await repositories.accounts.find_by_name(account)
    if found is None:
        raise AccountNotFound(account)
    return Customer(found.account_id, external_id)
