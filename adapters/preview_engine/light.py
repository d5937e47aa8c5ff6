"""Brings a garment from its studio light into the light of the wearer's photo."""

import cv2
import numpy as np
import numpy.typing as npt

from adapters.preview_engine.complexion import Complexion
from adapters.preview_engine.pictures import Mask, Rgb, blurred, disk, to_lab
from adapters.preview_engine.wearer import Wearer

FOLD_DETAIL, FOLD_REACH = 0.035, 0.4  # in shoulder widths: folds are what lies between these two blurs
DEEPEST_FOLD = 0.2  # of the lightness
USUAL_FOLD = 0.07  # spread of plain clothes' folds; stronger ones are a print, and are played down
PRINT_CHROMA = 9.0  # L*a*b*: colors that vary more are a print, a tie or several garments
DIM_WHITE = 90.0  # L* of the brightest parts of a well-lit photo
CAST_STRENGTH, STRONGEST_CAST = 0.4, 0.1


def folds(photo: Rgb, wearer: Wearer, complexion: Complexion) -> Mask:
    """Factors about 1 for each pixel: the light and shade of the clothes that are worn in the photo."""
    lab = to_lab(photo)
    body = (wearer.body > 0.6) & complexion.cloth & ~complexion.head
    cloth = cv2.erode(cv2.morphologyEx(body.astype(np.uint8), cv2.MORPH_CLOSE, disk(2)), disk(2)).astype(np.float32)
    unit = wearer.shoulder_width
    light = np.log(lab[..., 0] + 16.0)  # the offset of L* itself: dark cloth has folds, not noise
    near = _smoothed(light, cloth, FOLD_DETAIL * unit)
    far = _smoothed(light, cloth, FOLD_REACH * unit)
    difference = (near - far) * blurred(cloth, FOLD_DETAIL * unit)
    chest = (cloth > 0) & (wearer.sides[0, 0, 1] < np.arange(cloth.shape[0]))[:, None]
    if not chest.any():
        return np.ones_like(difference)
    spread = float(np.std(difference[chest]))
    chroma = float(np.linalg.norm(1.4826 * np.median(np.abs(lab[chest] - np.median(lab[chest], axis=0)), axis=0)[1:]))
    strength = min(1.0, USUAL_FOLD / max(spread, 1e-4)) * float(np.exp(-((chroma / PRINT_CHROMA) ** 2)))
    return np.asarray(np.exp(np.clip(difference * strength, -DEEPEST_FOLD, DEEPEST_FOLD)), dtype=np.float32)


def _smoothed(values: npt.NDArray[np.float32], weight: Mask, sigma: float) -> npt.NDArray[np.float32]:
    """A blur that ignores what is not cloth; at a quarter of the size when it is wide."""
    step = 4 if sigma > 12 else 1
    height, width = values.shape
    small = (max(1, width // step), max(1, height // step))
    both = [
        blurred(np.asarray(cv2.resize(layer, small, interpolation=cv2.INTER_AREA), dtype=np.float32), sigma / step)
        for layer in (values * weight, weight)
    ]
    overall = float((values * weight).sum() / max(float(weight.sum()), 1.0))
    ratio = (both[0] + 1e-3 * overall) / (both[1] + 1e-3)
    return np.asarray(cv2.resize(ratio, (width, height), interpolation=cv2.INTER_LINEAR), dtype=np.float32)


def tint(photo: Rgb) -> npt.NDArray[np.float32]:
    """A factor for each of red, green and blue: how dim the photo is and which cast its light has.

    The cast is estimated as "shades of gray" (Finlayson and Trezzi 2004, Minkowski norm 6) and half trusted.
    """
    few = photo[::4, ::4].reshape(-1, 3).astype(np.float32) / 255.0
    cast = np.mean(few**6, axis=0) ** (1 / 6)
    cast = np.clip((cast / max(float(cast.mean()), 1e-3)) ** CAST_STRENGTH, 1 - STRONGEST_CAST, 1 + STRONGEST_CAST)
    bright = float(np.percentile(to_lab(photo[::4, ::4])[..., 0], 97))
    return np.asarray(cast * np.clip(bright / DIM_WHITE, 0.72, 1.0), dtype=np.float32)
