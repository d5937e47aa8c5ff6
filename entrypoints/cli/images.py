"""Single images, for the operator."""

from typing import TYPE_CHECKING, Any

import click

from domain.account import AccountId
from domain.errors import AccountNotFound, ImageNotFound
from domain.image import ImageId, UploadedImage
from entrypoints.cli.console import as_json, confirmed, run, show_one

if TYPE_CHECKING:
    from entrypoints.wiring.container import Container

of_account = click.option("--account", default="default", show_default=True, help="Name of the image's account.")


@click.group()
def images() -> None:
    """Images that are kept."""


@images.command("show")
@click.argument("image_id")
@of_account
@as_json
def show_image(image_id: str, account: str, json_output: bool) -> None:
    """Show what is kept about an image, with a fresh link to it."""

    async def find(container: "Container") -> dict[str, Any]:
        account_id = await _account_id(container, account)
        linked = await container.read_image().execute(ImageId(image_id), account_id)
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

    if dry_run:
        click.echo(f"Would delete {run(look).image_id}.")
        return
    if not yes:
        click.confirm(f"Delete {image_id}? This cannot be undone.", abort=True, err=True)
    run(delete)
    click.echo(f"Deleted {image_id}.")


async def _account_id(container: "Container", name: str) -> AccountId:
    async with container.work().read() as repositories:
        account = await repositories.accounts.find_by_name(name)
    if account is None:
        raise AccountNotFound(name)
    return account.account_id


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
