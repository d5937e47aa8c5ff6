"""Erasure, for the operator."""

import io
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec

from application.customer_holdings import Holdings
from application.erase_customer import ErasureOutcome
from application.erasure_audit import Remains
from domain.audit import Action
from domain.customer import EXTERNAL_ID_HAS, Customer, is_external_id, is_text
from entrypoints.cli.console import (
    EXIT_FAILED,
    EXIT_UNAVAILABLE,
    NEW_FILE,
    as_json,
    confirm,
    confirmed,
    fail,
    private_file,
    progress,
    run,
    show_one,
)
from entrypoints.cli.customer_export import write_export
from entrypoints.cli.erasures import list_erasures, own_keys, read_export, write_receipt

if TYPE_CHECKING:
    from entrypoints.wiring.container import Container


@click.group()
def customers() -> None:
    """End users of a merchant's shop."""


@customers.command("erase")
@click.argument("customer_id", required=False)
@click.option("--account", default="default", show_default=True, help="Name of the account.")
@confirmed
@click.option("--dry-run", is_flag=True, help="Only count what would be erased.")
@click.option("--verify", is_flag=True, help="Then prove that nothing is left; exit code 1 when something is.")
@click.option("--receipt", type=NEW_FILE, help="Verify, and write what was done and found into FILE, signed.")
@as_json
def erase_customer(  # noqa: PLR0917 - click calls it by keyword
    customer_id: str | None,
    account: str,
    yes: bool,
    dry_run: bool,
    verify: bool,
    receipt: Path | None,
    json_output: bool,
) -> None:
    """Erase everything of the customer whose external id is CUSTOMER_ID.

    Without CUSTOMER_ID the id is read from standard input, so that it stays out of the process list and the shell's
    history. Erasing twice is the same as erasing once: use --verify again after an outage.

    \b
    Examples:
      tryon-images customers erase gid://shopify/Customer/1 --account acme
      printf %s "$ID" | tryon-images customers erase --account acme --yes --receipt case-4711.json
    """
    external_id = _external_id(customer_id)

    async def count(container: "Container") -> int:
        customer = await _customer(container, account, external_id)
        async with container.work().read() as repositories:
            return int((await repositories.images.traces_of(customer)).images)

    async def erase(container: "Container") -> tuple[ErasureOutcome, Remains | None]:
        customer = await _customer(container, account, external_id)
        proof = container.verify_erasure()
        needles = await proof.needles(customer, external_id) if verify or receipt else ()
        outcome = await container.erase_customer().execute(customer)
        remains = await proof.execute(customer, outcome.marked, needles) if verify or receipt else None
        if receipt and remains:
            file.write(write_receipt(container, customer.account_id, outcome, _proof(remains)))
        return outcome, remains

    if dry_run:
        show_one({"wouldErase": run(count)}, json_output=json_output)
        return
    if receipt:
        own_keys()  # before anything is done: nobody wants to hear afterwards that there are none
    confirm(f"Erase this customer and {run(count)} images? This cannot be undone.", yes=yes)
    with private_file(receipt) if receipt else nullcontext(io.BytesIO()) as file:
        outcome, remains = run(erase)
    _tell(outcome, remains, json_output)


def _external_id(customer_id: str | None) -> str:
    external_id = customer_id if customer_id is not None else sys.stdin.read().rstrip("\r\n")
    if not is_text(external_id):
        raise click.UsageError("The id holds control characters or half a character. Nothing is kept under such an id.")
    if not is_external_id(external_id):
        raise click.UsageError(f"A customer's id has {EXTERNAL_ID_HAS}.")
    return external_id


def _tell(outcome: ErasureOutcome, remains: Remains | None, json_output: bool) -> None:
    facts = {
        "erasureId": outcome.erasure_id,
        "status": outcome.status,
        "imagesErased": outcome.images,
        "requestedAt": outcome.requested_at,
        "bytesLeft": outcome.bytes_left,
    }
    show_one(facts | (_proof(remains) if remains else {}), json_output=json_output)
    if outcome.bytes_left:
        click.echo("The images are unreachable; their bytes go as soon as storage is back.", err=True)
        raise SystemExit(EXIT_UNAVAILABLE)
    if remains is not None and not remains.is_nothing:
        if remains.unreachable:
            click.echo("Some images of this account are under a key that is not at hand: run doctor.", err=True)
        for path in remains.raw.hits:
            click.echo(f"Something of the customer is in {path}.", err=True)
        for path in remains.raw.unread:
            click.echo(f"{path} cannot be read by this user, and may hold anything.", err=True)
        click.echo("Something is left: an upload in flight ends within minutes. Verify again then.", err=True)
        raise SystemExit(EXIT_FAILED)


@customers.command("show")
@click.argument("customer_id", required=False)
@click.option("--account", default="default", show_default=True, help="Name of the account.")
@as_json
def show_customer(customer_id: str | None, account: str, json_output: bool) -> None:
    """Count what is held of the customer whose external id is CUSTOMER_ID, or is read from standard input.

    \b
    Example: tryon-images customers show gid://shopify/Customer/1 --account acme
    """
    external_id = _external_id(customer_id)

    async def read(container: "Container") -> Holdings:
        return await _holdings(container, account, external_id, Action.CUSTOMER_SHOWN)

    held = run(read)
    expiries = [image.expires_at for image in held.images]
    facts = {
        "photos": len(held.images) - len(held.results),
        "results": len(held.results),
        "tryOns": len(held.try_ons),
        "sizeBytes": sum(image.photo.size_bytes for image in held.images if image.photo),
        "firstExpiresAt": min(expiries, default=None),
        "lastExpiresAt": max(expiries, default=None),
        "rows": held.traces.images,
        "idempotencyRecords": held.traces.idempotency_records,
        "erasureMarkedUntil": held.marked_until,
    }
    show_one(facts, json_output=json_output)


@customers.command("export")
@click.argument("customer_id", required=False)
@click.option("--account", default="default", show_default=True, help="Name of the account.")
@click.option("-o", "--output", required=True, type=NEW_FILE, help="The archive to be made, FILE.zip; mode 0600.")
@as_json
def export_customer(customer_id: str | None, account: str, output: Path, json_output: bool) -> None:
    """Hand out all that is held of the customer whose external id is CUSTOMER_ID (GDPR Art. 15).

    A zip with the pictures, their facts as data.json, and index.html, which shows both without a network. Without
    CUSTOMER_ID the id is read from standard input.

    \b
    Example: printf %s "$ID" | tryon-images customers export --account acme -o case-4712.zip
    """
    external_id = _external_id(customer_id)

    async def write(container: "Container") -> int:
        holdings = await _holdings(container, account, external_id, Action.CUSTOMER_EXPORTED)
        picture, now = container.read_holdings().picture, container.clock().now()
        return await write_export(file, external_id, holdings, picture, now)

    with private_file(output) as file:
        pictures = run(write)
    show_one({"file": str(output), "pictures": pictures}, json_output=json_output)


customers.add_command(list_erasures)


@customers.command("replay-erasures")
@click.option(
    "--from", "file", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="customers erasures --json"
)
@click.option("--dry-run", is_flag=True, help="Only count the images that have come back.")
@as_json
def replay_erasures(file: Path | None, dry_run: bool, json_output: bool) -> None:
    """Apply past erasures again, after the database was restored from a backup that is older than they are.

    Reads what `tryon-images customers erasures --json` wrote before the restore, or else the records that are in the
    database. Idempotent. Run it before the service is started again, and `tryon-images reconcile` after it.

    \b
    Example: tryon-images customers replay-erasures --from /somewhere/else/erasures.json
    """
    try:
        exported = read_export(file.read_bytes()) if file else None
    except msgspec.DecodeError as error:
        fail(f"{file} is not what `tryon-images customers erasures --json` writes: {error}")

    async def replay(container: "Container") -> dict[str, int]:
        entries = exported
        if entries is None:
            entries = [entry async for entry in container.list_erasures().execute()]
        use_case = container.replay_erasure()
        come_back = 0
        with progress("Replaying", len(entries)) as advance:
            for number, entry in enumerate(entries, start=1):
                come_back += await (use_case.count(entry) if dry_run else use_case.execute(entry))
                advance(number)
        return {"erasures": len(entries), "imagesThatCameBack": come_back}

    show_one(run(replay), json_output=json_output)


def _proof(remains: Remains) -> dict[str, Any]:
    return {
        "rowsLeft": remains.images,
        "idempotencyRecordsLeft": remains.idempotency_records,
        "tryOnsLeft": remains.try_ons,
        "objectsLeft": remains.objects,
        "imagesUnderOtherKeys": remains.unreachable,
        "rawFilesSearched": remains.raw.files,
        "rawBytesSearched": remains.raw.size_bytes,
        "rawFilesWithTraces": len(remains.raw.hits),
        "rawFilesUnread": len(remains.raw.unread),
        "markedUntil": remains.marked_until,
    }


async def _holdings(container: "Container", account: str, external_id: str, action: Action) -> Holdings:
    customer = await _customer(container, account, external_id)
    holdings: Holdings = await container.read_holdings().execute(customer)
    await container.note_in_audit().execute(action, customer.account_id, images=len(holdings.images))
    return holdings


async def _customer(container: "Container", account: str, external_id: str) -> Customer:
    """Raises: AccountNotFound, Overloaded."""
    found = await container.list_accounts().named(account)
    return container.pseudonyms().customer(found.account_id, external_id)
