"""Make the same photo again as people send it: framed, mirrored, turned, scaled, cut a little, between bars."""

import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from PIL import Image, ImageOps

from domain.cropping import place
from domain.geometry import Box
from domain.person import SeenPhoto
from domain.photo import Appearance, WarningCode, warnings_about

FRAMES = {
    "white": (80, "white"),
    "black": (80, "black"),
    "gray": (20, "#808080"),
    "pink": (200, "#e696aa"),
    "green": (7, "#2a6f4f"),
}
ORIENTATION = 0x0112
OF_SIZE = {WarningCode.LOW_RESOLUTION, WarningCode.PERSON_TOO_SMALL}
"""Warnings that other pixel counts may change: a scaled or cut photo is another photo in that."""

OF_SHAPE = OF_SIZE | {WarningCode.BODY_CUT_BY_CROP}
"""What is cut by 2 % on its sides has a window that is lower by up to 4 %, which may be what the feet had."""


@dataclass(frozen=True, slots=True)
class Variation:
    """A file, and the way from its upright pixels back to those of the photo: minus an offset, over a scale."""

    name: str
    file: bytes
    offset: tuple[float, float] = (0, 0)
    scale: float = 1
    mirrored_width: int | None = None
    may_change: frozenset[WarningCode] = frozenset()

    def in_the_photo(self, box: Box) -> Box:
        left, right = ((x - self.offset[0]) / self.scale for x in (box.x, box.right))
        top, bottom = ((y - self.offset[1]) / self.scale for y in (box.y, box.bottom))
        if self.mirrored_width is not None:
            left, right = self.mirrored_width - right, self.mirrored_width - left
        return Box(round(left), round(top), round(right - left), round(bottom - top))


def variations(photo: Image.Image) -> Iterator[Variation]:
    width, height = photo.size
    for name, (edge, color) in FRAMES.items():
        yield Variation(f"{name} frame", as_jpeg(ImageOps.expand(photo, edge, color)), (edge, edge))
    yield Variation("mirrored", as_jpeg(ImageOps.mirror(photo)), mirrored_width=width)
    yield Variation("turned by EXIF", as_jpeg(photo.transpose(Image.Transpose.ROTATE_90), orientation=6))
    yield Variation("upside down by EXIF", as_jpeg(photo.transpose(Image.Transpose.ROTATE_180), orientation=3))
    for scale in (0.5, 2.0):
        scaled = photo.resize((round(width * scale), round(height * scale)), Image.Resampling.LANCZOS)
        yield Variation(f"scaled by {scale:g}", as_jpeg(scaled), scale=scale, may_change=frozenset(OF_SIZE))
    x, y = round(0.02 * width), round(0.02 * height)
    for name, left, top, right, bottom in (
        ("top left", x, y, 0, 0),
        ("bottom right", 0, 0, x, y),
        ("sides", x, y, x, y),
    ):
        part = photo.crop((left, top, width - right, height - bottom))
        yield Variation(f"2 % less: {name}", as_jpeg(part), (-left, -top), may_change=frozenset(OF_SHAPE))
    across, down = max(0, height - width) // 2, max(0, width - height) // 2 + 50 * (width >= height)
    yield Variation("letterbox", as_jpeg(ImageOps.expand(photo, (across, down, across, down), "black")), (across, down))


def as_jpeg(image: Image.Image, *, orientation: int = 1) -> bytes:
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    file = io.BytesIO()
    image.save(file, "JPEG", quality=92, exif=exif)
    return file.getvalue()


def codes_of(seen: SeenPhoto, appearance: Appearance) -> set[WarningCode]:
    """What a customer would be told."""
    placement = place(seen)
    stored = placement.canvas.size.limited_to(2000)
    found = warnings_about(seen, kept=placement.canvas, stored=stored, looked_for_people=True, appearance=appearance)
    return {warning.code for warning in found}


def differences(
    first: tuple[SeenPhoto, set[WarningCode]],
    again: tuple[SeenPhoto, set[WarningCode]],
    back: Callable[[Box], Box],
    may_change: frozenset[WarningCode],
) -> list[str]:
    """How a variation was judged otherwise: how many people, who is meant, what is warned of."""
    (seen, codes), (seen_again, codes_again) = first, again
    found = []
    if len(seen.people) != len(seen_again.people):
        found.append(f"{len(seen.people)} people, then {len(seen_again.people)}")
    person, other = seen.main_person, seen_again.main_person
    if person and other and person.box.overlap(back(other.box)) < 0.5:
        found.append("somebody else is meant")
    for when, changed in (("at first", codes - codes_again), ("then", codes_again - codes)):
        found += [f"{code} only {when}" for code in sorted(changed - may_change)]
    return found
