"""Records, for the operator and for auditors: the audit log, erasures, and their receipts."""

import base64
import csv
import io
from collections.abc import Iterable
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import click
import msgspec

from application.customer_holdings import (
    MAX_RECEIPT_BYTES,
    Facts,
    NotAReceipt,
    key_text,
    read_receipt,
    receipt_facts,
    signed_receipt,
)
from application.erase_customer import ErasureOutcome, RecordedErasure
from domain.account import AccountId
from domain.erasure import AuditEntry, ErasureRecord
from domain.image import ErasureId, ImageId
from entrypoints.cli.accounts import account_id
from entrypoints.cli.console import (
    EXIT_FAILED,
    FILE,
    NEW_FILE,
    Answer,
    Row,
    answers,
    as_json,
    fail,
    or_fail,
    private_file,
    progress,
    run,
    settings_or_fail,
    show,
)
from entrypoints.wiring.keys import is_signed, is_signing_ring_there, receipt_keys

if TYPE_CHECKING:
    from entrypoints.wiring.container import Container

PUBLIC_KEY_BYTES: Final = 32
COLUMNS: Final = ("at", "actor", "action", "account", "subject", "facts")


@click.command()
@click.option("--since", type=click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M:%SZ"]), help="From this time on, UTC.")
@click.option("--account", help="Name of an account: only what was done to it.")
@click.option("-o", "--output", type=NEW_FILE, help="Export into FILE: CSV if it ends with .csv, else JSON lines.")
@as_json
def audit(since: datetime | None, account: str | None, output: Path | None, json_output: bool) -> None:
    """Show the audit log, oldest first: what was done by command line, and to accounts, keys and persons.

    It names the user or the key that did it, and no customer.

    \b
    Examples:
      tryon-images audit --since 2026-11-01
      tryon-images audit --account acme -o november.csv
    """
    is_csv = output is not None and output.suffix == ".csv"
    as_text = is_csv or (output is None and not json_output)
    begin = since.replace(tzinfo=UTC) if since else None

    async def read(container: "Container") -> list[dict[str, Any]]:
        found = None if account is None else await account_id(container, account)
        return [_row(entry, as_text) async for entry in container.read_audit().execute(begin, found)]

    if output is None:
        show(run(read), json_output=json_output, empty="Nothing was entered yet.")
        return
    with private_file(output) as file:
        rows = run(read)
        file.write(_as_csv(rows) if is_csv else _as_lines(rows))
    show({"file": str(output), "entries": len(rows)}, json_output=json_output)


def _row(entry: AuditEntry, as_text: bool) -> dict[str, Any]:
    facts = {name: value for name, value in entry.facts.items() if value is not None}
    shown = " ".join(f"{name}={value}" for name, value in facts.items()) if as_text else facts
    values = (entry.at.replace(microsecond=0), entry.actor, str(entry.action), entry.account_id, entry.subject, shown)
    return dict(zip(COLUMNS, values, strict=True))


def _as_lines(rows: Iterable[dict[str, Any]]) -> bytes:
    return b"".join(msgspec.json.encode(row) + b"\n" for row in rows)


def _as_csv(rows: Iterable[dict[str, Any]]) -> bytes:
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS)
    writer.writeheader()
    writer.writerows({name: _harmless(value) for name, value in msgspec.to_builtins(row).items()} for row in rows)
    return text.getvalue().encode()


def _harmless(value: str | None) -> str:
    """No spreadsheet takes it for a formula: an account may have any name."""
    text = value or ""
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text


class ExportedErasure(msgspec.Struct, rename="camel", forbid_unknown_fields=True, kw_only=True):
    """An erasure as `customers erasures --json` writes and `customers replay-erasures --from` reads it."""

    erasure_id: ErasureId
    account_id: AccountId
    requested_at: Annotated[datetime, msgspec.Meta(tz=True)]
    completed_at: Annotated[datetime, msgspec.Meta(tz=True)] | None
    image_count: int = msgspec.field(name="images")
    image_ids: tuple[ImageId, ...]

    @classmethod
    def of(cls, entry: RecordedErasure) -> "ExportedErasure":
        return cls(image_ids=entry.image_ids, **asdict(entry.record))

    def to_entry(self) -> RecordedErasure:
        record = msgspec.structs.asdict(self)
        return RecordedErasure(image_ids=record.pop("image_ids"), record=ErasureRecord(**record))


def read_export(text: bytes) -> list[RecordedErasure]:
    """Raises: msgspec.DecodeError."""
    return [exported.to_entry() for exported in msgspec.json.decode(text, type=list[ExportedErasure])]


@click.command("erasures")
@click.option("--account", help="Only this account's erasures.")
@as_json
def list_erasures(account: str | None, json_output: bool) -> None:
    """List all erasures, newest first: what was asked for when, when it was done, and how many images it took.

    With --json also the ids of these images, as long as a backup may hold them. Keep that output where a restore of
    the database does not reach it: `tryon-images customers replay-erasures --from FILE` reads it.

    \b
    Example, in cron: tryon-images customers erasures --json > /somewhere/else/erasures.json
    """

    async def find(container: "Container") -> list[RecordedErasure]:
        found = None if account is None else await account_id(container, account)
        return [entry async for entry in container.list_erasures().execute(found)]

    entries = run(find)
    if json_output:
        click.echo(msgspec.json.format(msgspec.json.encode([ExportedErasure.of(entry) for entry in entries])))
        return
    rows = [
        {
            "erasure": record.erasure_id,
            "account": record.account_id,
            "requestedAt": record.requested_at,
            "completedAt": record.completed_at,
            "images": record.image_count,
        }
        for record in (entry.record for entry in entries)
    ]
    show(rows, json_output=False, empty="Nobody was erased yet.")


@click.command("replay-erasures")
@click.option("--from", "file", type=FILE, help="customers erasures --json")
@click.option("--dry-run", is_flag=True, help="Only count the images that have come back.")
@answers
def replay_erasures(file: Path | None, dry_run: bool) -> Row:
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

    return run(replay)


def write_receipt(container: "Container", account_id: AccountId, outcome: ErasureOutcome, verified: Facts) -> bytes:
    """The file, as `verify-receipt` reads it."""
    facts = receipt_facts(account_id, outcome, verified, container.clock().now(), version("tryon-images"))
    return signed_receipt(facts, container.receipt_keys())


def public_key_of(text: str) -> bytes:
    """32 bytes as `verify-receipt --print-key` prints them."""
    try:
        key = base64.b64decode(text, altchars=b"-_", validate=True)
    except ValueError:
        key = b""
    if len(key) != PUBLIC_KEY_BYTES:
        raise click.BadParameter("that is no key that --print-key prints")
    return key


@click.command("verify-receipt")
@click.argument("file", required=False, type=FILE)
@click.option(
    "--public-key", type=public_key_of, metavar="KEY", help="Trust this key. Without it: the keys of this installation."
)
@click.option("--print-key", is_flag=True, help="Print this installation's public keys, for auditors; the first signs.")
@answers
def verify_receipt(file: Path | None, public_key: bytes | None, print_key: bool) -> Row | Answer | None:
    """Check a receipt of an erasure: exit code 0 when it is whole and signed by a trusted key, else 1.

    An auditor needs the file and the public key, no access to the service.

    \b
    Examples:
      tryon-images verify-receipt --print-key
      tryon-images verify-receipt case-4711.json --public-key 3q2-7w…=
    """
    if print_key:
        keys = [key_text(key) for key in own_keys()]
        if click.get_current_context().params["json_output"]:
            return {"publicKeys": keys}
        click.echo("\n".join(keys))
        return None
    if file is None:
        raise click.UsageError("Name the receipt, or say --print-key.")
    try:
        with file.open("rb") as opened:
            receipt = opened.read(MAX_RECEIPT_BYTES + 1)
        facts = read_receipt(receipt, _known_keys() if public_key is None else [public_key], is_signed)
    except NotAReceipt as reason:
        return Answer({"valid": False, "why": str(reason)}, code=EXIT_FAILED)
    why = f"Erasure {facts['erasureId']} is as it was signed at {facts['issuedAt']}: {facts['status']}."
    return {"valid": True, "why": why, **facts}


def own_keys() -> tuple[bytes, ...]:
    """This installation's public keys, made if there are none yet; ends the command where they cannot be had."""
    settings = settings_or_fail()
    return or_fail(lambda: receipt_keys(settings).public_keys)


def _known_keys() -> tuple[bytes, ...]:
    """None on a machine that never signed anything."""
    return own_keys() if is_signing_ring_there(settings_or_fail()) else ()
