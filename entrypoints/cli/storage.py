"""The settings of the bucket in which objects are kept."""

import sys
from typing import TYPE_CHECKING

import click

from application.ports.objects import StorageFinding
from domain.audit import Action
from domain.errors import Overloaded
from entrypoints.cli.console import as_json, run, settings_or_fail, show, show_one

if TYPE_CHECKING:
    from entrypoints.wiring.container import Container


@click.group()
def storage() -> None:
    """Where objects are kept."""


@storage.command("setup")
@click.option("--dry-run", is_flag=True, help="Only say what would be changed.")
@as_json
def setup(dry_run: bool, json_output: bool) -> None:
    """Set the bucket's lifecycle rules, by which photos go even if this service never runs again.

    Rules of others are left alone. Takes the role roles/storage.admin on the bucket; nothing else here does.

    \b
    Example: TRYON_STORAGE_URL=gs://bucket/photos tryon-images storage setup --dry-run
    """

    async def execute(container: "Container") -> tuple[str, ...]:
        rules = container.storage_rules()
        if rules and not dry_run:
            await _note(container)
        changes: tuple[str, ...] = await rules.setup(dry_run=dry_run) if rules else ()
        return changes

    changes = run(execute)
    if json_output:
        show_one({"changed": not dry_run and bool(changes), "changes": changes}, json_output=True)
        return
    click.echo("\n".join(changes) if changes else "Nothing has to be changed.")


async def _note(container: "Container") -> None:
    """The bucket's administrator may well have no way to the database, which may not even be there yet."""
    try:
        await container.note_in_audit().execute(Action.STORAGE_SET_UP)
    except Overloaded as error:
        click.echo(f"Not in the audit log: {error.advice}", err=True)


@storage.command("check")
@as_json
def check(json_output: bool) -> None:
    """Prove that an erased photo is gone: nothing keeps it, the rules are there, and the service has its rights.

    Exit code 1 when something is off; every finding comes with the command that fixes it. EMAIL is the service account
    that the service runs as.
    """

    async def execute(container: "Container") -> tuple[StorageFinding, ...]:
        rules = container.storage_rules()
        found: tuple[StorageFinding, ...] = await rules.check() if rules else ()
        return found

    findings = run(execute)
    rows = [{"check": finding.check, "ok": finding.is_ok, "fix": finding.fix} for finding in findings]
    show(rows, json_output=json_output, empty=f"{settings_or_fail().storage_folder} is a folder, which has no rules.")
    if not all(finding.is_ok for finding in findings):
        sys.exit(1)
