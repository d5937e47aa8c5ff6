"""Between the picture as stored and the picture upright: pixels one way, boxes the other."""

from collections.abc import Callable
from typing import Final

import cv2

from adapters.imaging.resampling import Pixels
from adapters.imaging.scanned_photo import Orientation
from domain.geometry import Box, Size

_TURNS: Final[dict[Orientation, Callable[[Pixels], Pixels]]] = {
    Orientation.UPRIGHT: lambda pixels: pixels,
    Orientation.MIRRORED: lambda pixels: cv2.flip(pixels, 1),
    Orientation.UPSIDE_DOWN: lambda pixels: cv2.rotate(pixels, cv2.ROTATE_180),
    Orientation.FLIPPED: lambda pixels: cv2.flip(pixels, 0),
    Orientation.TRANSPOSED: cv2.transpose,
    Orientation.TURN_RIGHT: lambda pixels: cv2.rotate(pixels, cv2.ROTATE_90_CLOCKWISE),
    Orientation.TRANSVERSED: lambda pixels: cv2.rotate(cv2.transpose(pixels), cv2.ROTATE_180),
    Orientation.TURN_LEFT: lambda pixels: cv2.rotate(pixels, cv2.ROTATE_90_COUNTERCLOCKWISE),
}


def turned_upright(pixels: Pixels, orientation: Orientation) -> Pixels:
    """Stored pixels as the viewer should see them. Source: CIPA DC-008, 4.6.5.1.6."""
    return _TURNS[orientation](pixels)


def stored_box(upright: Box, orientation: Orientation, stored: Size) -> Box:
    """Where a box of the upright picture is in the stored one."""
    x, y, width, height = upright.x, upright.y, upright.width, upright.height
    if orientation.swaps_axes:
        x, y, width, height = y, x, height, width
    if orientation in {Orientation.MIRRORED, Orientation.UPSIDE_DOWN, Orientation.TRANSVERSED, Orientation.TURN_LEFT}:
        x = stored.width - x - width
    if orientation in {Orientation.FLIPPED, Orientation.UPSIDE_DOWN, Orientation.TRANSVERSED, Orientation.TURN_RIGHT}:
        y = stored.height - y - height
    return Box(x, y, width, height)
