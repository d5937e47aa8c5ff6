"""People as a detector would see them, and photos of a real one: NASA's portrait of Eileen Collins, public domain."""

import io
from collections.abc import Mapping

import numpy as np
import skimage.data
from PIL import Image

from domain.geometry import Box
from domain.person import BodyPart, Landmark, SeenPerson

ASTRONAUT = Image.fromarray(skimage.data.astronaut())
ASTRONAUTS_EYES = (224, 108)
"""Between the eyes, in pixels of the portrait; the head with hair spans x 150-300 and y 14-190."""


def a_person(
    box: Box,
    *,
    head: Box | None = None,
    face: Box | None = None,
    headless: bool = False,
    silhouette: float = 0.2,
    landmarks: Mapping[BodyPart, Landmark] | None = None,
) -> SeenPerson:
    """Somebody who stands upright and fills `box`, seven and a half heads high."""
    upright = a_head_of(box)
    return SeenPerson(
        box=box,
        head=None if headless else head or upright,
        face=face,
        silhouette=silhouette,
        landmarks=a_standing_body(box) if landmarks is None else landmarks,
    )


def a_head_of(body: Box) -> Box:
    height = max(1, round(body.height / 7.5))
    width = min(body.width, max(1, round(0.75 * height)))
    return Box(body.x + (body.width - width) // 2, body.y, width, height)


def a_standing_body(box: Box, *, turned_away: bool = False) -> dict[BodyPart, Landmark]:
    """Where the joints of a standing person are, as shares of their height and width; their left is our right."""
    sides = {
        "eye": (0.06, 0.06),
        "ear": (0.1, 0.065),
        "mouth": (0.04, 0.095),
        "shoulder": (0.35, 0.19),
        "elbow": (0.42, 0.36),
        "wrist": (0.45, 0.5),
        "hip": (0.2, 0.51),
        "knee": (0.2, 0.73),
        "ankle": (0.2, 0.93),
        "foot": (0.25, 0.98),
    }
    marks = {BodyPart.NOSE: (0.5, 0.08)}
    for name, (beside, down) in sides.items():
        right, left = 0.5 - beside, 0.5 + beside
        if turned_away:
            right, left = left, right
        marks[BodyPart[f"RIGHT_{name.upper()}"]] = (right, down)
        marks[BodyPart[f"LEFT_{name.upper()}"]] = (left, down)
    return {
        part: Landmark(box.x + across * box.width, box.y + down * box.height, 0.95)
        for part, (across, down) in marks.items()
    }


def as_png(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def scenery(width: int, height: int) -> Image.Image:
    """Grass without anybody on it, public domain."""
    tile = np.stack([skimage.data.grass()] * 3, axis=-1)
    rows, columns = -(-height // tile.shape[0]), -(-width // tile.shape[1])
    return Image.fromarray(np.tile(tile, (rows, columns, 1))[:height, :width])
