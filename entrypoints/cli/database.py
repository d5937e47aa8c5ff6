"""The database: its schema, and what is overdue in it."""

from typing import TYPE_CHECKING

import click

from application.purge import PurgeReport
from domain.audit import Action
from entrypoints.cli.console import as_json, run, show_one

if TYPE_CHECKING:
    from entrypoints.wiring.container import Container


@click.group()
def db() -> None:
    """The database's schema."""


@db.command("upgrade")
@click.option(
    "--print-grants",
    "role",
    metavar="[ROLE]",
    is_flag=False,
    flag_value="tryon_app",
    help="Only print the SQL that lets a role serve and do no more; run it as the owner of the tables.",
)
def upgrade(role: str | None) -> None:
    """Create the schema or bring it up to date; safe while the previous version serves.

    \b
    Example: tryon-images db upgrade && tryon-images db upgrade --print-grants=tryon_app | psql tryon
    """
    if role is None:
        click.echo(f"The schema is at revision {run(_upgrade)}.")
        return

    async def grants(container: "Container") -> tuple[str, ...]:
        return container.migrator().grants(role)

    try:
        click.echo("\n".join(run(grants)))
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--print-grants") from error


async def _upgrade(container: "Container") -> str:
    before: str | None = await container.migrator().revision()
    revision: str = await container.migrator().upgrade()
    if revision != before:
        await container.note_in_audit().execute(Action.SCHEMA_UPGRADED, revision=revision)
    return revision


@click.command()
@click.option("--trust-clock", is_flag=True, help="The clock was set, and is right now: go on purging, the server too.")
@as_json
def purge(trust_clock: bool, json_output: bool) -> None:
    """Delete what is overdue: expired images, dead uploads, unfinished deletions. The server does this by itself too.

    \b
    Example, in cron: */5 * * * * tryon-images purge --json
    """

    async def execute(container: "Container") -> PurgeReport:
        purge_overdue = container.purge_overdue()
        if trust_clock:
            await container.note_in_audit().execute(Action.CLOCK_TRUSTED)
            purge_overdue.time.jumps.trust()
        report: PurgeReport = await purge_overdue.execute()
        return report

    report = run(execute)
    show_one(
        {
            "expired": report.expired,
            "interrupted": report.interrupted,
            "removed": report.removed,
            "leftForLater": report.left_for_later,
            "erasuresCompleted": report.erasures_completed,
        },
        json_output=json_output,
    )
    if report.left_for_later:
        raise SystemExit(3)
