"""Archive of all that is held of one customer: pictures, facts as JSON, and a page that shows both."""

import zipfile
from collections.abc import Awaitable, Callable, Iterator
from datetime import datetime
from html import escape
from typing import Any, BinaryIO, Final

import msgspec

from application.customer_holdings import Holdings
from application.read_image import LinkedImage
from domain.generation import Generation
from domain.image import UploadedImage

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
Picture = Callable[[UploadedImage], Awaitable[bytes | None]]


async def write_export(
    file: BinaryIO, customer_id: str, holdings: Holdings, picture: Picture, exported_at: datetime
) -> int:
    """Write the archive, one picture at a time. Returns: how many pictures are in it. Raises: Overloaded."""
    images = []
    with zipfile.ZipFile(file, "w") as archive:  # stored: JPEGs do not get smaller
        for image in holdings.images:
            if (jpeg := await picture(image)) is not None:
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

    if image.photo is None:
        raise ValueError("an image that can be read has a photo")
    file = f"pictures/{image.image_id}.jpg"
    said: dict[str, Any] = msgspec.to_builtins(ImageBody.of(LinkedImage(image, file, image.expires_at), image.photo))
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
