"""The audit log, for the operator: what was done to accounts, keys and persons, by whom and when."""

import csv
import io
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click
import msgspec

from domain.audit import AuditEntry
from entrypoints.cli.console import NEW_FILE, as_json, private_file, run, show, show_one

if TYPE_CHECKING:
    from entrypoints.wiring.container import Container

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
        account_id = (await container.list_accounts().named(account)).account_id if account is not None else None
        return [_row(entry, as_text) async for entry in container.read_audit().execute(begin, account_id)]

    if output is None:
        show(run(read), json_output=json_output, empty="Nothing was entered yet.")
        return
    with private_file(output) as file:
        rows = run(read)
        file.write(_as_csv(rows) if is_csv else _as_lines(rows))
    show_one({"file": str(output), "entries": len(rows)}, json_output=json_output)


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
