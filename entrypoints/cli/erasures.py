"""Records of erasures, for the operator; as JSON for `customers replay-erasures`."""

from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import click
import msgspec

from application.erasure_audit import RecordedErasure
from domain.account import AccountId
from domain.erasure import ErasureRecord
from domain.errors import AccountNotFound
from domain.image import ErasureId, ImageId
from entrypoints.cli.console import as_json, run, show

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
        account_id = None
        if account is not None:
            async with container.work().read() as repositories:
                found = await repositories.accounts.find_by_name(account)
            if found is None:
                raise AccountNotFound(account)
            account_id = found.account_id
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
