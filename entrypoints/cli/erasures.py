"""Records of erasures, for the operator: listed, written for `customers replay-erasures`, and as receipts."""

import base64
import sys
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar

import click
import msgspec

from application.erase_customer import ErasureOutcome
from application.erasure_audit import RecordedErasure
from application.erasure_receipt import Facts, NotAReceipt, key_text, read_receipt, receipt_facts, signed_receipt
from domain.account import AccountId
from domain.erasure import ErasureRecord
from domain.image import ErasureId, ImageId
from entrypoints.cli.console import as_json, or_fail, run, settings_or_fail, show, show_one
from entrypoints.wiring.key_rings import is_signed, is_signing_ring_there, receipt_keys

if TYPE_CHECKING:
    from entrypoints.wiring.container import Container


class ExportedErasure(msgspec.Struct, rename="camel", forbid_unknown_fields=True, kw_only=True):
    """An erasure as `customers erasures --json` writes and `customers replay-erasures --from` reads it."""

    erasure_id: str
    account_id: str
    requested_at: Annotated[datetime, msgspec.Meta(tz=True)]
    completed_at: Annotated[datetime, msgspec.Meta(tz=True)] | None
    images: int
    image_ids: list[str]

    @classmethod
    def of(cls, entry: RecordedErasure) -> "ExportedErasure":
        record = entry.record
        return cls(
            erasure_id=record.erasure_id,
            account_id=record.account_id,
            requested_at=record.requested_at,
            completed_at=record.completed_at,
            images=record.image_count,
            image_ids=list(entry.image_ids),
        )

    def to_entry(self) -> RecordedErasure:
        record = ErasureRecord(
            erasure_id=ErasureId(self.erasure_id),
            account_id=AccountId(self.account_id),
            requested_at=self.requested_at,
            image_count=self.images,
            completed_at=self.completed_at,
        )
        return RecordedErasure(record, tuple(ImageId(image_id) for image_id in self.image_ids))


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
        account_id = (await container.list_accounts().named(account)).account_id if account is not None else None
        return [entry async for entry in container.list_erasures().execute(account_id)]

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


def write_receipt(container: "Container", account_id: AccountId, outcome: ErasureOutcome, verified: Facts) -> bytes:
    """The file, as `verify-receipt` reads it."""
    facts = receipt_facts(account_id, outcome, verified, container.clock().now(), version("tryon-images"))
    return signed_receipt(facts, container.receipt_keys())


class PublicKey(click.ParamType[bytes]):
    """32 bytes as `verify-receipt --print-key` prints them."""

    name = "key"
    BYTES: ClassVar = 32

    def convert(self, value: str | bytes, param: click.Parameter | None, ctx: click.Context | None) -> bytes:
        """Raises: click.BadParameter."""
        try:
            key = value if isinstance(value, bytes) else base64.b64decode(value, altchars=b"-_", validate=True)
        except ValueError:
            key = b""
        return key if len(key) == self.BYTES else self.fail("that is no key that --print-key prints", param, ctx)


@click.command("verify-receipt")
@click.argument("file", required=False, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--public-key", type=PublicKey(), help="Trust this key. Without it: the keys of this installation.")
@click.option("--print-key", is_flag=True, help="Print this installation's public keys, for auditors; the first signs.")
@as_json
def verify_receipt(file: Path | None, public_key: bytes | None, print_key: bool, json_output: bool) -> None:
    """Check a receipt of an erasure: exit code 0 when it is whole and signed by a trusted key, else 1.

    An auditor needs the file and the public key, no access to the service.

    \b
    Examples:
      tryon-images verify-receipt --print-key
      tryon-images verify-receipt case-4711.json --public-key 3q2-7w…=
    """
    if print_key:
        click.echo("\n".join(map(key_text, own_keys())))
        return
    if file is None:
        raise click.UsageError("Name the receipt, or say --print-key.")
    try:
        facts = read_receipt(file.read_bytes(), _known_keys() if public_key is None else [public_key], is_signed)
    except NotAReceipt as reason:
        show_one({"valid": False, "why": str(reason)}, json_output=json_output)
        sys.exit(1)
    why = f"Erasure {facts['erasureId']} is as it was signed at {facts['issuedAt']}: {facts['status']}."
    show_one({"valid": True, "why": why, **facts}, json_output=json_output)


def own_keys() -> tuple[bytes, ...]:
    """This installation's public keys, made if there are none yet; ends the command where they cannot be had."""
    settings = settings_or_fail()
    return or_fail(lambda: receipt_keys(settings).public_keys)


def _known_keys() -> tuple[bytes, ...]:
    """None on a machine that never signed anything."""
    return own_keys() if is_signing_ring_there(settings_or_fail()) else ()
