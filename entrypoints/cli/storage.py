"""Commands about what is kept: images, overdue ones, storage against the database, a bucket's rules, the schema."""

import asyncio
from datetime import timedelta
from math import isnan
from typing import TYPE_CHECKING, Any

import click

from application.delete_images import PurgeReport
from application.ports.objects import StorageFinding
from application.reconcile import Comparison
from domain.erasure import Action
from domain.errors import ImageNotFound, Overloaded
from domain.image import ImageId, UploadedImage
from entrypoints.cli.accounts import account_id
from entrypoints.cli.console import (
    EXIT_FAILED,
    EXIT_UNAVAILABLE,
    Answer,
    Row,
    answers,
    as_json,
    confirm,
    destructive,
    in_account,
    progress,
    run,
    settings_or_fail,
    show,
)

if TYPE_CHECKING:
    from entrypoints.wiring.container import Container


@click.group()
def images() -> None:
    """Images that are kept."""


@images.command("list")
@in_account()
@click.option("--expiring", type=click.FloatRange(0, 24 * 30), metavar="HOURS", help="Only what is gone within HOURS.")
@click.option("--limit", type=click.IntRange(1, 10_000), default=100, show_default=True, help="At most so many lines.")
@answers
def list_images(account: str, expiring: float | None, limit: int) -> Answer:
    """List the images of an account that are kept, the first to expire first. Ids, dates and sizes; no customers.

    \b
    Example: tryon-images images list --account acme --expiring 24
    """

    if expiring is not None and isnan(expiring):
        raise click.BadParameter("'nan' is no number of hours", param_hint="'--expiring'")

    async def find(container: "Container") -> list[UploadedImage]:
        found_in = await account_id(container, account)
        until = None if expiring is None else container.clock().now() + timedelta(hours=expiring)
        async with container.work().read() as repositories:
            found = await repositories.images.live_of(found_in, until, limit)
        return [image for image in found if image.photo is not None]

    columns = ("imageId", "createdAt", "expiresAt", "keepForDays", "width", "height", "sizeBytes", "warnings")
    rows = [{name: facts[name] for name in columns} for facts in map(_facts, run(find))]
    return Answer(rows, empty="There are no such images.")


@images.command("show")
@click.argument("image_id")
@in_account()
@answers
def show_image(image_id: str, account: str) -> Row:
    """Show what is kept about an image, with a fresh link to it."""

    async def find(container: "Container") -> Row:
        found = await account_id(container, account)
        linked = await container.read_image().execute(ImageId(image_id), found)
        await container.note_in_audit().execute(Action.IMAGE_SHOWN, found, image_id)
        return {**_facts(linked.image), "imageUrl": linked.url, "imageUrlExpiresAt": linked.url_expires_at}

    return run(find)


@images.command("delete")
@click.argument("image_id")
@in_account()
@destructive("Only say what would be deleted.")
def delete_image(image_id: str, account: str, yes: bool, dry_run: bool) -> None:
    """Delete an image and its bytes."""

    async def look(container: "Container") -> UploadedImage:
        return await container.resolve_image().execute(ImageId(image_id), await account_id(container, account))

    async def delete(container: "Container") -> None:
        await container.delete_image().execute(ImageId(image_id), await account_id(container, account))

    found = run(look).image_id
    if dry_run:
        click.echo(f"Would delete {found}.")
        return
    confirm(f"Delete {found}? This cannot be undone.", yes=yes)
    run(delete)
    click.echo(f"Deleted {image_id}.")


def _facts(image: UploadedImage) -> dict[str, Any]:
    if image.photo is None:
        raise ImageNotFound
    return {
        "imageId": image.image_id,
        "createdAt": image.created_at,
        "expiresAt": image.expires_at,
        "keepForDays": image.retention.keep_for_days,
        "width": image.photo.size.width,
        "height": image.photo.size.height,
        "sizeBytes": image.photo.size_bytes,
        "sourceFormat": str(image.photo.source_format),
        "objectName": image.object_name,
        "warnings": ", ".join(warning.code for warning in image.photo.warnings),
    }


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
    before = await container.migrator().revision()
    revision = await container.migrator().upgrade()
    if revision != before:
        await container.note_in_audit().execute(Action.SCHEMA_UPGRADED, revision=revision)
    return revision


@click.command()
@click.option("--trust-clock", is_flag=True, help="The clock was set, and is right now: go on purging, the server too.")
@answers
def purge(trust_clock: bool) -> Answer:
    """Delete what is overdue: expired images, dead uploads, unfinished deletions. The server does this by itself too.

    \b
    Example, in cron: */5 * * * * tryon-images purge --json
    """

    async def execute(container: "Container") -> PurgeReport:
        purge_overdue = container.purge_overdue()
        if trust_clock:
            await container.note_in_audit().execute(Action.CLOCK_TRUSTED)
            purge_overdue.time.jumps.trust()
        return await purge_overdue.execute()

    report = run(execute)
    facts = {
        "expired": report.expired,
        "interrupted": report.interrupted,
        "removed": report.removed,
        "leftForLater": report.left_for_later,
        "erasuresCompleted": report.erasures_completed,
    }
    return Answer(facts, code=EXIT_UNAVAILABLE if report.left_for_later else 0)


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
    facts = {
        "compared": done.compared,
        "objectsWithoutRow": done.orphans,
        "imagesWithoutObject": done.missing,
        "foreignObjects": done.foreign,
        "repaired": done.repaired,
        "last": done.last,
    }
    show(facts, json_output=json_output)
    if done.left:
        raise SystemExit(EXIT_FAILED)


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
        return await rules.setup(dry_run=dry_run) if rules else ()

    changes = run(execute)
    if json_output:
        show({"changed": not dry_run and bool(changes), "changes": changes}, json_output=True)
        return
    click.echo("\n".join(changes) if changes else "Nothing has to be changed.")


async def _note(container: "Container") -> None:
    """The bucket's administrator may well have no way to the database, which may not even be there yet."""
    try:
        await container.note_in_audit().execute(Action.STORAGE_SET_UP)
    except Overloaded as error:
        click.echo(f"Not in the audit log: {error.advice}", err=True)


@storage.command("check")
@answers
def check() -> Answer:
    """Prove that an erased photo is gone: nothing keeps it, the rules are there, and the service has its rights.

    Exit code 1 when something is off; every finding comes with the command that fixes it. EMAIL is the service account
    that the service runs as.
    """

    async def execute(container: "Container") -> tuple[StorageFinding, ...]:
        rules = container.storage_rules()
        return await rules.check() if rules else ()

    findings = run(execute)
    rows = [{"check": finding.check, "ok": finding.is_ok, "fix": finding.fix} for finding in findings]
    empty = f"{settings_or_fail().storage_folder} is a folder, which has no rules."
    return Answer(rows, empty=empty, code=0 if all(finding.is_ok for finding in findings) else EXIT_FAILED)
