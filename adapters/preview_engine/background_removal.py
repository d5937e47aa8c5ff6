"""Cuts a garment out of a product photo with a plain background: laid flat, hung, or on a ghost mannequin."""

import cv2
import numpy as np
import numpy.typing as npt

from adapters.preview_engine.pictures import Flags, Mask, Rgb, blurred, disk, to_lab
from domain.errors import GarmentNotSeparable, GarmentNotSupported

# Colors in CIE L*a*b*; about 2.3 is a just noticeable difference. Chosen on drawn and photographed garments.
BORDER_SHARE = 0.03  # of the longest edge: the frame in which the background is read
SAME_COLOR = 12.0  # around the frame's median: still background
PLAIN_SHARE = 0.6  # of the frame must be background; a sleeve or a hem may leave the picture
PLAIN_NOISE = 5.0  # half of the frame is nearer to its median than this; grass or a brick wall is not
NO_DIFFERENCE = 2.5  # sensor noise and JPEG
SHADOW_CHROMA = 6.0  # a shadow darkens without coloring...
SHADOW_DEPTH = 26.0  # ...this much at most...
SHADOW_SLOPE = 1.1  # ...and softly: L* per pixel; an outline is steeper
RIM_CHROMA, RIM_DEPTH = 9.0, 60.0  # the hard shadow right under an edge
GAP_DEPTH = 0.05  # of the longest edge: how far up between sleeve and torso background is looked for
RIM_WIDTH = 0.012  # of the longest edge: how wide a hard shadow is taken off
GARMENT_LIKE_SHADOW = 0.15  # of the pixels inside the rim: white, gray or striped, so the rim stays
LEAST_AREA, MOST_AREA = 0.05, 0.92  # of the picture
SECOND_PIECE = 0.2  # of the largest piece's area: another garment


def remove_background(photo: Rgb) -> Mask:
    """How much each pixel belongs to the garment.

    Raises: GarmentNotSeparable: the background is not plain, or nothing stands out from it.
    GarmentNotSupported: several things stand out.
    """
    flat, soft_shadow, any_shadow = _background_like(to_lab(photo))
    solid = _solid_pieces(~_flood(flat | soft_shadow))
    return _soft(_without_rim(solid, flat | soft_shadow, any_shadow))


def _background_like(lab: npt.NDArray[np.float32]) -> tuple[Flags, Flags, Flags]:
    """Pixels that look like the background, like a soft shadow on it, and like any shadow on it."""
    difference = lab - _background(lab)
    chroma = np.hypot(difference[..., 1], difference[..., 2])
    light = difference[..., 0]
    smooth = blurred(lab[..., 0].copy(), 1.0)
    slope = np.hypot(cv2.Sobel(smooth, cv2.CV_32F, 1, 0, scale=0.125), cv2.Sobel(smooth, cv2.CV_32F, 0, 1, scale=0.125))
    flat = np.hypot(chroma, light) < NO_DIFFERENCE
    shadow = (chroma < SHADOW_CHROMA) & (light > -SHADOW_DEPTH) & (light < SHADOW_CHROMA)
    soft = np.asarray(shadow & (slope < SHADOW_SLOPE), dtype=np.bool_)
    return flat, soft, np.asarray((chroma < RIM_CHROMA) & (light > -RIM_DEPTH) & (light < RIM_CHROMA), dtype=np.bool_)


def _without_rim(solid: Flags, background: Flags, shadow: Flags) -> Flags:
    """The garment without hard shadows along its edge and narrow gaps, unless the garment itself looks like that."""
    deep = RIM_WIDTH * max(solid.shape)
    core = cv2.erode(solid.astype(np.uint8), disk(deep), borderType=cv2.BORDER_REPLICATE) > 0
    ring = (cv2.erode(core.astype(np.uint8), disk(deep), borderType=cv2.BORDER_REPLICATE) == 0) & core
    if not ring.any() or shadow[ring].mean() > GARMENT_LIKE_SHADOW:
        return solid
    deeper = cv2.erode(core.astype(np.uint8), disk(GAP_DEPTH * max(solid.shape)), borderType=cv2.BORDER_REPLICATE) > 0
    rim = solid & ((~core & shadow) | (~deeper & background))
    return np.asarray(solid & ~(_flood(~solid | rim) & rim), dtype=np.bool_)


def _background(lab: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """The background behind the garment: a linear gradient fitted to the picture's frame."""
    height, width = lab.shape[:2]
    rim = max(2, round(BORDER_SHARE * max(height, width)))
    frame = np.ones((height, width), dtype=bool)
    frame[rim:-rim, rim:-rim] = False
    rows, columns = np.nonzero(frame)
    colors = lab[rows, columns]
    plain = np.linalg.norm(colors - np.median(colors, axis=0), axis=1) < SAME_COLOR
    if plain.mean() < PLAIN_SHARE:
        raise GarmentNotSeparable
    if np.median(np.linalg.norm(colors[plain] - np.median(colors[plain], axis=0), axis=1)) > PLAIN_NOISE:
        raise GarmentNotSeparable
    position = np.stack([np.ones(rows.size), columns / width, rows / height], axis=1)
    gradient = np.linalg.lstsq(position[plain], colors[plain], rcond=None)[0]
    across, down = np.meshgrid(np.arange(width) / width, np.arange(height) / height)
    return np.asarray(np.stack([np.ones_like(across), across, down], axis=-1) @ gradient, dtype=np.float32)


def _flood(passable: Flags) -> Flags:
    """What can be reached from the picture's border without crossing the garment's outline."""
    framed = np.pad(passable, 1, constant_values=True).astype(np.uint8)
    _, labels = cv2.connectedComponents(framed, connectivity=4)
    return np.asarray(labels[1:-1, 1:-1] == labels[0, 0], dtype=np.bool_)


def _solid_pieces(found: Flags) -> Flags:
    """The garment as one piece without holes or hairs."""
    reach = 0.006 * max(found.shape)
    solid = cv2.morphologyEx(found.astype(np.uint8), cv2.MORPH_CLOSE, disk(reach))
    solid = (~_flood(solid == 0)).astype(np.uint8)
    solid = cv2.morphologyEx(solid, cv2.MORPH_OPEN, disk(reach))
    _, labels, stats, _ = cv2.connectedComponentsWithStats(solid, connectivity=4)
    areas = np.sort(stats[1:, cv2.CC_STAT_AREA])[::-1]
    if areas.size > 1 and areas[:2].sum() > LEAST_AREA * found.size and areas[1] > SECOND_PIECE * areas[0]:
        raise GarmentNotSupported
    if areas.size == 0 or not LEAST_AREA < areas[0] / found.size < MOST_AREA:
        raise GarmentNotSeparable
    return np.asarray(labels == 1 + int(np.argmax(stats[1:, cv2.CC_STAT_AREA])), dtype=np.bool_)


def _soft(solid: Flags) -> Mask:
    """An anti-aliased outline, drawn in by the pixel that mixes garment and background."""
    inner = cv2.erode(solid.astype(np.float32), disk(1), borderType=cv2.BORDER_REPLICATE)
    return blurred(np.asarray(inner, dtype=np.float32), 0.8)
