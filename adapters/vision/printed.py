"""Tell a portrait printed on a product from somebody who stands in front of a plain ground."""

from typing import Final

import numpy as np

from adapters.vision.look import Look
from domain.person import BodyPart, SeenPerson

_PLAIN: Final = 14
"""A ground is plain when 95 % of the photo's border is within so many levels, of 255, of its median color."""

_SURE_ANKLE: Final = 0.7
"""Of the three people who stand free on studio paper the surer ankle had 0.95 to 0.99; below three portraits that were
pasted on a shirt the model imagined ankles with up to 0.62."""

_AROUND: Final = 0.12
"""How far beside a body one looks for the ground, as a share of the body."""


def is_print(look: Look, person: SeenPerson) -> bool:
    """Whether a body ends in the middle of a plain ground, without feet, and something that is not the ground goes
    around it on every side: that is a picture on a product. Around a real person on paper the paper shows."""
    if not _floats(person, look):
        return False
    strip = max(1, min(look.pixels.shape[:2]) // 50)
    pixels = look.pixels
    border = [edge.reshape(-1, 3) for edge in (pixels[:strip], pixels[-strip:], pixels[:, :strip], pixels[:, -strip:])]
    ground = np.median(np.concatenate(border), axis=0)
    if np.mean(np.abs(np.concatenate(border).astype(np.int16) - ground).max(axis=1) <= _PLAIN) < 0.95:
        return False
    x, y, scale = look.window.x, look.window.y, look.scale
    box = person.box
    across, down = max(2.0, _AROUND * box.width / scale), max(2.0, _AROUND * box.height / scale)
    left, right = int(max(0, (box.x - x) / scale - across)), int((box.right - x) / scale + across)
    top, bottom = int(max(0, (box.y - y) / scale - down)), int((box.bottom - y) / scale + down)
    part = pixels[top : bottom + 1, left : right + 1].astype(np.int16)
    sides = (part[0], part[-1], part[:, 0], part[:, -1])
    covered = [bool(np.mean(np.abs(side - ground).max(axis=1) > _PLAIN) >= 0.9) for side in sides]
    return covered.count(True) >= 3


def _floats(person: SeenPerson, look: Look) -> bool:
    box, edge = person.box, 0.01 * max(look.window.width, look.window.height)
    window = look.window
    touches = min(box.x - window.x, box.y - window.y, window.right - box.right, window.bottom - box.bottom) <= edge
    ankles = [
        mark.confidence for part in (BodyPart.LEFT_ANKLE, BodyPart.RIGHT_ANKLE) if (mark := person.landmarks.get(part))
    ]
    return not touches and max(ankles, default=0.0) < _SURE_ANKLE
