"""Customers, for the operator: erased, counted, and handed out with all that is held of them."""

import io
import sys
import zipfile
from collections.abc import Iterator
from contextlib import nullcontext
from datetime import datetime
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final

import click
import msgspec

from application.customer_holdings import Holdings, Remains
from application.erase_customer import ErasureOutcome
from application.read_image import LinkedImage, OpenImage
from domain.customer import EXTERNAL_ID_HAS, Customer, is_external_id, is_text
from domain.erasure import Action
from domain.generation import Generation
from domain.image import UploadedImage
from entrypoints.cli.accounts import account_id
from entrypoints.cli.console import (
    BYTES_LEFT,
    EXIT_FAILED,
    EXIT_UNAVAILABLE,
    NEW_FILE,
    Answer,
    Row,
    answers,
    confirm,
    destructive,
    in_account,
    private_file,
    run,
)
from entrypoints.cli.records import list_erasures, own_keys, replay_erasures, write_receipt

if TYPE_CHECKING:
    from entrypoints.wiring.container import Container

PAGE: Final = """<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<meta name="referrer" content="no-referrer"><title>What is held of one person</title>
<style>
body {{ font: 1rem/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 60rem; padding: 0 1rem }}
figure {{ display: inline-block; margin: 0 1.5rem 1.5rem 0; max-width: 17rem; vertical-align: top }}
img {{ max-width: 100%; height: auto }}
td, th {{ text-align: left; padding-right: 1rem; vertical-align: top }}
</style>
<h1>What is held of one person</h1>
<p>As of {exported_at}. Everything on this page is also in <a href="data.json">data.json</a>; the pictures are in
the folder <em>pictures</em>. A picture is deleted at the time that is written under it.</p>
<h2>Pictures ({number})</h2>
{figures}
<h2>Try-ons ({number_of_try_ons})</h2>
<table><tr><th>Started</th><th>State</th><th>Id</th></tr>{rows}</table>
</html>
"""
FIGURE: Final = """<figure><img src="{file}" alt="{kind}" width="{width}" height="{height}" loading="lazy">
<figcaption>{kind}, made {createdAt}, deleted {expiresAt}. {width} × {height} pixels, from a {format} file.
</figcaption></figure>"""


@click.group()
def customers() -> None:
    """End users of a merchant's shop."""


@customers.command("erase")
@click.argument("customer_id", required=False)
@in_account()
@destructive("Only count what would be erased.")
@click.option("--verify", is_flag=True, help="Then prove that nothing is left; exit code 1 when something is.")
@click.option("--receipt", type=NEW_FILE, help="Verify, and write what was done and found into FILE, signed.")
@answers
def erase_customer(  # noqa: PLR0917 - click calls it by keyword
    customer_id: str | None, account: str, yes: bool, dry_run: bool, verify: bool, receipt: Path | None
) -> Row | Answer:
    """Erase everything of the customer whose external id is CUSTOMER_ID.

    Without CUSTOMER_ID the id is read from standard input, so that it stays out of the process list and the shell's
    history. Erasing twice is the same as erasing once: use --verify again after an outage.

    \b
    Examples:
      tryon-images customers erase gid://shopify/Customer/1 --account acme
      printf %s "$ID" | tryon-images customers erase --account acme --yes --receipt case-4711.json
    """
    external_id = _external_id(customer_id)

    async def count(container: "Container") -> int:
        customer = await _customer(container, account, external_id)
        async with container.work().read() as repositories:
            return (await repositories.images.traces_of(customer)).images

    async def erase(container: "Container") -> tuple[ErasureOutcome, Remains | None]:
        customer = await _customer(container, account, external_id)
        proof = container.verify_erasure()
        needles = await proof.needles(customer, external_id) if verify or receipt else ()
        outcome = await container.erase_customer().execute(customer)
        remains = await proof.execute(customer, outcome.marked, needles) if verify or receipt else None
        if receipt and remains:
            file.write(write_receipt(container, customer.account_id, outcome, _proof(remains)))
        return outcome, remains

    if dry_run:
        return {"wouldErase": run(count)}
    if receipt:
        own_keys()  # before anything is done: nobody wants to hear afterwards that there are none
    confirm(f"Erase this customer and {run(count)} images? This cannot be undone.", yes=yes)
    with private_file(receipt) if receipt else nullcontext(io.BytesIO()) as file:
        outcome, remains = run(erase)
    return _told(outcome, remains)


def _external_id(customer_id: str | None) -> str:
    external_id = customer_id if customer_id is not None else sys.stdin.read().rstrip("\r\n")
    if not is_text(external_id):
        raise click.UsageError("The id holds control characters or half a character. Nothing is kept under such an id.")
    if not is_external_id(external_id):
        raise click.UsageError(f"A customer's id has {EXTERNAL_ID_HAS}.")
    return external_id


def _told(outcome: ErasureOutcome, remains: Remains | None) -> Row | Answer:
    facts = {
        "erasureId": outcome.erasure_id,
        "status": outcome.status,
        "imagesErased": outcome.images,
        "requestedAt": outcome.requested_at,
        "bytesLeft": outcome.bytes_left,
        **(_proof(remains) if remains else {}),
    }
    if outcome.bytes_left:
        return Answer(facts, words=[BYTES_LEFT], code=EXIT_UNAVAILABLE)
    if remains is None or remains.is_nothing:
        return facts
    words = [
        *(
            ["Some images of this account are under a key that is not at hand: run doctor."]
            if remains.unreachable
            else []
        ),
        *(f"Something of the customer is in {path}." for path in remains.raw.hits),
        *(f"{path} cannot be read by this user, and may hold anything." for path in remains.raw.unread),
        "Something is left: an upload in flight ends within minutes. Verify again then.",
    ]
    return Answer(facts, words=words, code=EXIT_FAILED)


@customers.command("show")
@click.argument("customer_id", required=False)
@in_account()
@answers
def show_customer(customer_id: str | None, account: str) -> Row:
    """Count what is held of the customer whose external id is CUSTOMER_ID, or is read from standard input.

    \b
    Example: tryon-images customers show gid://shopify/Customer/1 --account acme
    """
    external_id = _external_id(customer_id)
    held = run(lambda container: _holdings(container, account, external_id, Action.CUSTOMER_SHOWN))
    expiries = [image.expires_at for image in held.images]
    return {
        "photos": len(held.images) - len(held.results),
        "results": len(held.results),
        "tryOns": len(held.try_ons),
        "sizeBytes": sum(image.photo.size_bytes for image in held.images if image.photo),
        "firstExpiresAt": min(expiries, default=None),
        "lastExpiresAt": max(expiries, default=None),
        "rows": held.traces.images,
        "idempotencyRecords": held.traces.idempotency_records,
        "erasureMarkedUntil": held.marked_until,
    }


@customers.command("export")
@click.argument("customer_id", required=False)
@in_account()
@click.option("-o", "--output", required=True, type=NEW_FILE, help="The archive to be made, FILE.zip; mode 0600.")
@answers
def export_customer(customer_id: str | None, account: str, output: Path) -> Row:
    """Hand out all that is held of the customer whose external id is CUSTOMER_ID (GDPR Art. 15).

    A zip with the pictures, their facts as data.json, and index.html, which shows both without a network. Without
    CUSTOMER_ID the id is read from standard input.

    \b
    Example: printf %s "$ID" | tryon-images customers export --account acme -o case-4712.zip
    """
    external_id = _external_id(customer_id)

    async def write(container: "Container") -> int:
        holdings = await _holdings(container, account, external_id, Action.CUSTOMER_EXPORTED)
        return await _write_archive(file, external_id, holdings, container.open_image(), container.clock().now())

    with private_file(output) as file:
        pictures = run(write)
    return {"file": str(output), "pictures": pictures}


customers.add_command(list_erasures)
customers.add_command(replay_erasures)


def _proof(remains: Remains) -> dict[str, Any]:
    return {
        "rowsLeft": remains.images,
        "idempotencyRecordsLeft": remains.idempotency_records,
        "tryOnsLeft": remains.try_ons,
        "objectsLeft": remains.objects,
        "imagesUnderOtherKeys": remains.unreachable,
        "rawFilesSearched": remains.raw.files,
        "rawBytesSearched": remains.raw.size_bytes,
        "rawFilesWithTraces": len(remains.raw.hits),
        "rawFilesUnread": len(remains.raw.unread),
        "markedUntil": remains.marked_until,
    }


async def _holdings(container: "Container", account: str, external_id: str, action: Action) -> Holdings:
    customer = await _customer(container, account, external_id)
    holdings = await container.read_holdings().execute(customer)
    await container.note_in_audit().execute(action, customer.account_id, images=len(holdings.images))
    return holdings


async def _customer(container: "Container", account: str, external_id: str) -> Customer:
    """Raises: AccountNotFound, Overloaded."""
    return container.pseudonyms().customer(await account_id(container, account), external_id)


async def _write_archive(
    file: BinaryIO, customer_id: str, holdings: Holdings, open_image: OpenImage, exported_at: datetime
) -> int:
    """Write the archive, one picture at a time. Returns: how many pictures are in it. Raises: Overloaded."""
    images = []
    with zipfile.ZipFile(file, "w") as archive:  # stored: JPEGs do not get smaller
        for image in holdings.images:
            if (jpeg := await open_image.if_there(image.image_id, image.account_id)) is not None:
                images.append(_facts(image, holdings))
                archive.writestr(images[-1]["file"], jpeg)
        whole = {
            "customerId": customer_id,
            "exportedAt": exported_at.replace(microsecond=0),
            "images": images,
            "tryOns": [_try_on(each) for each in holdings.try_ons],
            "idempotencyRecords": holdings.traces.idempotency_records,
            "erasureMarkedUntil": holdings.marked_until,
        }
        archive.writestr("data.json", msgspec.json.format(msgspec.json.encode(whole)))
        archive.writestr("index.html", "".join(_page(msgspec.to_builtins(whole))))
    return len(images)


def _facts(image: UploadedImage, holdings: Holdings) -> dict[str, Any]:
    """What the API says of an image, with the file in place of the link."""
    from entrypoints.http.schemas import ImageBody  # noqa: PLC0415 - a second that other commands do not need

    file = f"pictures/{image.image_id}.jpg"
    said: dict[str, Any] = msgspec.to_builtins(ImageBody.of(LinkedImage(image, file, image.expires_at)))
    kind = "result of a try-on" if image.image_id in holdings.results else "photo"
    links = ("imageUrl", "imageUrlExpiresAt")
    return {"file": file, "kind": kind, **{name: value for name, value in said.items() if name not in links}}


def _try_on(try_on: Generation) -> dict[str, Any]:
    return {
        "generationId": try_on.generation_id,
        "status": str(try_on.status),
        "createdAt": try_on.created_at,
        "updatedAt": try_on.updated_at,
        "engine": try_on.engine,
        "personImageId": try_on.inputs.person if try_on.inputs else None,
        "resultImageId": try_on.result,
    }


def _page(whole: dict[str, Any]) -> Iterator[str]:
    figures = [FIGURE.format_map({**image, "format": escape(image["source"]["format"])}) for image in whole["images"]]
    rows = [
        f"<tr><td>{each['createdAt']}</td><td>{escape(each['status'])}</td><td>{escape(each['generationId'])}</td></tr>"
        for each in whole["tryOns"]
    ]
    yield PAGE.format(
        exported_at=whole["exportedAt"],
        number=len(figures),
        figures="\n".join(figures),
        number_of_try_ons=len(rows),
        rows="".join(rows),
    )
