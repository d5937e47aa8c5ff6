"""Sandbox engine: a card of the two pictures that a try-on was started with; it says that no model is connected."""

import asyncio
import io
from typing import Final

from PIL import Image, ImageDraw, ImageFont, ImageOps

from application.ports.try_on import TryOnEngine, TryOnPicture
from domain.geometry import Size

CAPTION: Final = "SANDBOX - connect a model to see the try-on"
JPEG_QUALITY: Final = 88
SMALLEST_WIDTH: Final = 320  # pixels; the caption cannot be read on anything narrower
LARGEST_EDGE: Final = 2000  # pixels; what the service keeps at most
INSET_SHARE: Final = 0.34  # of the card's width and height, for the garment
MARGIN_SHARE: Final = 0.025  # of the card's width, around the garment and beside the caption
BAND_SHARE: Final = 0.075  # of the card's width
INK, PAPER = (255, 255, 255), (23, 23, 28)


class SandboxEngine(TryOnEngine):
    """For development and tests: it needs no network and no model, and never refuses.

    It decodes nothing but what the sandboxed workers have written: baseline JPEGs, RGB, at most `LARGEST_EDGE`.
    """

    name = "sandbox"

    async def render(self, person_jpeg: bytes, garment_jpeg: bytes) -> TryOnPicture:
        return await asyncio.to_thread(draw_card, person_jpeg, garment_jpeg)

    async def check(self) -> None:
        """There is nothing that could be away."""

    async def close(self) -> None:
        """There is nothing to end."""


def draw_card(person_jpeg: bytes, garment_jpeg: bytes) -> TryOnPicture:
    """The person's picture, in its own size unless that is too narrow, with garment and caption laid over it."""
    card = _wide_enough(_decode(person_jpeg, LARGEST_EDGE))
    margin = max(1, round(card.width * MARGIN_SHARE))
    band_height = max(1, min(round(card.width * BAND_SHARE), card.height // 3))
    _lay_inset(card, garment_jpeg, margin, bottom=card.height - band_height - margin)
    _lay_band(card, band_height, margin)
    return TryOnPicture(_encode(card), Size(card.width, card.height))


def _decode(jpeg: bytes, longest_edge: int) -> Image.Image:
    picture = Image.open(io.BytesIO(jpeg), formats=["JPEG"])
    picture.draft("RGB", (longest_edge, longest_edge))
    return picture.convert("RGB")


def _wide_enough(picture: Image.Image) -> Image.Image:
    scale = min(SMALLEST_WIDTH / picture.width, LARGEST_EDGE / picture.height)
    if scale <= 1:
        return picture
    return picture.resize((round(picture.width * scale), round(picture.height * scale)), Image.Resampling.BICUBIC)


def _lay_inset(card: Image.Image, garment_jpeg: bytes, margin: int, *, bottom: int) -> None:
    """At the lower right, in a frame that sets it off from any photo: a face is hardly ever there."""
    box = max(1, round(card.width * INSET_SHARE)), max(1, min(round(card.height * INSET_SHARE), bottom))
    garment = ImageOps.contain(_decode(garment_jpeg, max(box)), box, Image.Resampling.BICUBIC)
    framed = ImageOps.expand(garment, border=max(1, margin // 5), fill=INK)
    card.paste(framed, (card.width - margin - framed.width, bottom - framed.height))


def _lay_band(card: Image.Image, height: int, margin: int) -> None:
    draw = ImageDraw.Draw(card)
    top = card.height - height
    draw.rectangle((0, top, card.width, card.height), fill=PAPER)
    font = _font(card.width - 2 * margin, height)
    draw.text((card.width / 2, top + height / 2), CAPTION, font=font, fill=INK, anchor="mm")


def _font(width: int, height: int) -> ImageFont.FreeTypeFont:
    """The largest in which the caption fits; Pillow brings its letters along."""
    trial = _letters(100)
    return _letters(min(100 * width / trial.getlength(CAPTION), height * 0.6))


def _letters(size: float) -> ImageFont.FreeTypeFont:
    font = ImageFont.load_default(max(1.0, size))
    if not isinstance(font, ImageFont.FreeTypeFont):
        raise TypeError("Pillow was built without FreeType")
    return font


def _encode(card: Image.Image) -> bytes:
    card.info.clear()  # a comment would be written again
    out = io.BytesIO()
    card.save(out, "JPEG", quality=JPEG_QUALITY, subsampling="4:2:0")
    return out.getvalue()
