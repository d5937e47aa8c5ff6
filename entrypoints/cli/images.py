"""Single images, for the operator."""

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import click

from domain.account import AccountId
from domain.audit import Action
from domain.errors import ImageNotFound
from domain.image import ImageId, UploadedImage
from entrypoints.cli.console import as_json, confirm, confirmed, limit_rows, run, show, show_one

if TYPE_CHECKING:
    from entrypoints.wiring.container import Container

of_account = click.option("--account", default="default", show_default=True, help="Name of the image's account.")


@click.group()
def images() -> None:
    """Images that are kept."""


@images.command("list")
@of_account
@click.option("--expiring", type=click.FloatRange(0, 24 * 30), metavar="HOURS", help="Only what is gone within HOURS.")
@limit_rows
@as_json
def list_images(account: str, expiring: float | None, limit: int, json_output: bool) -> None:
    """List the images of an account that are kept, the first to expire first. Ids, dates and sizes; no customers.

    \b
    Example: tryon-images images list --account acme --expiring 24
    """

    async def find(container: "Container") -> list[UploadedImage]:
        account_id = await _account_id(container, account)
        until = None if expiring is None else container.clock().now() + timedelta(hours=expiring)
        async with container.work().read() as repositories:
            found = await repositories.images.live_of(account_id, until, limit)
        return [image for image in found if image.photo is not None]

    columns = ("imageId", "createdAt", "expiresAt", "keepForDays", "width", "height", "sizeBytes", "warnings")
    rows = [{name: facts[name] for name in columns} for facts in map(_facts, run(find))]
    show(rows, json_output=json_output, empty="There are no such images.")


@images.command("show")
@click.argument("image_id")
@of_account
@as_json
def show_image(image_id: str, account: str, json_output: bool) -> None:
    """Show what is kept about an image, with a fresh link to it."""

    async def find(container: "Container") -> dict[str, Any]:
        account_id = await _account_id(container, account)
        linked = await container.read_image().execute(ImageId(image_id), account_id)
        await container.note_in_audit().execute(Action.IMAGE_SHOWN, account_id, image_id)
        return {**_facts(linked.image), "imageUrl": linked.url, "imageUrlExpiresAt": linked.url_expires_at}

    show_one(run(find), json_output=json_output)


@images.command("delete")
@click.argument("image_id")
@of_account
@confirmed
@click.option("--dry-run", is_flag=True, help="Only say what would be deleted.")
def delete_image(image_id: str, account: str, yes: bool, dry_run: bool) -> None:
    """Delete an image and its bytes."""

    async def look(container: "Container") -> UploadedImage:
        account_id = await _account_id(container, account)
        image: UploadedImage = await container.resolve_image().execute(ImageId(image_id), account_id)
        return image

    async def delete(container: "Container") -> None:
        await container.delete_image().execute(ImageId(image_id), await _account_id(container, account))

    found = run(look).image_id
    if dry_run:
        click.echo(f"Would delete {found}.")
        return
    confirm(f"Delete {found}? This cannot be undone.", yes=yes)
    run(delete)
    click.echo(f"Deleted {image_id}.")


async def _account_id(container: "Container", name: str) -> AccountId:
    return AccountId((await container.list_accounts().named(name)).account_id)


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
