"""Compare bucket and database, for the operator."""

import asyncio
from typing import TYPE_CHECKING

import click

from application.reconcile import Comparison
from domain.audit import Action
from domain.errors import Overloaded
from entrypoints.cli.console import EXIT_FAILED, as_json, progress, run, show_one

if TYPE_CHECKING:
    from entrypoints.wiring.container import Container


@click.command()
@click.option("--apply", "repair", is_flag=True, help="Repair what differs. Without it, only say what does.")
@click.option("--dry-run", is_flag=True, help="Only say what differs; the default.")
@click.option("--after", default="", metavar="NAME", help="Go on after this object's name, as printed when stopped.")
@as_json
def reconcile(repair: bool, dry_run: bool, after: str, json_output: bool) -> None:
    """Compare the bucket with the database both ways; exit code 1 when differences are left.

    With --apply, objects without a row are deleted, and images whose object is gone are deleted too. Never needed after
    a crash; use it after a restore, or after somebody changed the bucket by hand. Safe while the service runs.

    \b
    Examples:
      tryon-images reconcile
      tryon-images reconcile --apply --after ttl-3d/img_4kT.jpg
    """
    if repair and dry_run:
        raise click.UsageError("--apply and --dry-run exclude each other.")

    async def compare(container: "Container") -> Comparison:
        use_case = container.reconcile()
        if repair:
            await container.note_in_audit().execute(Action.STORAGE_REPAIRED)
        done = Comparison(last=after)
        with progress("Comparing", await use_case.total()) as advance:
            try:
                async for done in use_case.execute(repair=repair, after=after):
                    advance(done.compared)
                    if not json_output:
                        for found in done.found:
                            click.echo(f"{found.kind}: {found.object_name}")
            except (Overloaded, asyncio.CancelledError):
                click.echo(f"Stopped. Go on with: --after {done.last!r}", err=True)
                raise
        return done

    done = run(compare)
    show_one(
        {
            "compared": done.compared,
            "objectsWithoutRow": done.orphans,
            "imagesWithoutObject": done.missing,
            "foreignObjects": done.foreign,
            "repaired": done.repaired,
            "last": done.last,
        },
        json_output=json_output,
    )
    if done.left:
        raise SystemExit(EXIT_FAILED)
