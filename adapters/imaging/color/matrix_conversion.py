"""From the colors of a matrix profile to sRGB: pixel by pixel, or one sample of color for four pixels."""

from dataclasses import dataclass, replace
from functools import cache, lru_cache
from typing import Final, Self

import cv2
import numpy as np
import numpy.typing as npt

from adapters.imaging.color.code_points import linear_to_srgb
from adapters.imaging.color.icc_profile import MatrixProfile, xyz_to_srgb
from adapters.imaging.picture import Picture
from adapters.imaging.resampling import Pixels, halved

_ROWS_AT_ONCE: Final = 64  # 64 rows of 1,600 pixels as 16-bit numbers stay in a core's own cache

_FINENESS: Final = 2
"""Changes of luma are kept in halves of a level around 128, hence up to 63 levels: Display P3 needs 43."""

_LUMA: Final = np.array([0.299, 0.587, 0.114])  # ITU-R BT.601, as in JFIF


@dataclass(frozen=True, slots=True)
class MatrixConversion:
    """Look-up, 3 x 3 matrix, look-up, in 16-bit linear light.

    `to_linear` (256, or 1 x 256 x 3) holds the linear light of each level, `matrix` leads from there to linear sRGB.
    `changes_nothing` says that the profile is sRGB in effect, within a level.
    `suits_planes` says that grays stay what they are, within a level, and luma nearly so: all that the profile
    changes is how far its primaries reach, as Display P3 does.
    """

    to_linear: npt.NDArray[np.uint16]
    matrix: npt.NDArray[np.float64]
    changes_nothing: bool
    suits_planes: bool

    @classmethod
    def of(cls, profile: MatrixProfile) -> "MatrixConversion":
        """Kept for the next photo of such a phone: only the numbers, for a profile's texts may name somebody."""
        return _kept(profile.curves.tobytes(), profile.to_xyz.tobytes())

    @classmethod
    def made_of(cls, profile: MatrixProfile) -> Self:
        matrix = xyz_to_srgb() @ profile.to_xyz
        of_grays, of_colors = _changes(profile, matrix, _grays()), _changes(profile, matrix, _grid_of_colors())
        keeps_grays = bool(np.abs(of_grays).max() < 1)
        keeps_colors = bool(np.abs(of_colors).max() < 1)
        nearly_keeps_luma = bool(np.abs(of_colors @ _LUMA).max() * _FINENESS < 127)
        curves = np.rint(profile.curves * 65535).astype(np.uint16)
        is_one_curve = bool((curves == curves[0]).all())  # of most profiles: then the look-up takes half the time
        to_linear = curves[0] if is_one_curve else np.ascontiguousarray(curves.T.reshape(1, 256, 3))
        return cls(to_linear, matrix, keeps_grays and keeps_colors, keeps_grays and nearly_keeps_luma)

    def pixels(self, rgb: Pixels) -> Pixels:
        """RGB of any size in sRGB."""
        converted = np.empty_like(rgb)
        for top in range(0, rgb.shape[0], _ROWS_AT_ONCE):
            converted[top : top + _ROWS_AT_ONCE] = self._rows(rgb[top : top + _ROWS_AT_ONCE])
        return converted

    def planes(self, picture: Picture) -> Picture:
        """A 4:2:0 picture of full range in sRGB, for a profile that suits: a quarter of the work.

        Each sample of chroma is converted with the mean of its four samples of luma. By how much that changed their
        luma is then added to all of them, smoothly from one four to the next. What differs within the four, the very
        finest texture, keeps its contrast so; pixel by pixel it is steepened next to the border of sRGB and flattened
        beyond. On photos the two ways differ by at most 0.6 levels in the mean.
        """
        luma, was_blue, was_red = picture.planes
        middle = halved(luma)
        change, blue, red = np.empty_like(middle), np.empty_like(was_blue), np.empty_like(was_red)
        for top in range(0, middle.shape[0], _ROWS_AT_ONCE):
            rows = slice(top, top + _ROWS_AT_ONCE)
            rgb = cv2.cvtColor(cv2.merge((middle[rows], was_red[rows], was_blue[rows])), cv2.COLOR_YCrCb2RGB)
            bright, red[rows], blue[rows] = cv2.split(cv2.cvtColor(self._rows(rgb), cv2.COLOR_RGB2YCrCb))
            change[rows] = cv2.addWeighted(bright, _FINENESS, middle[rows], -_FINENESS, 128)
        height, width = middle.shape
        smooth = cv2.resize(change, (2 * width, 2 * height), interpolation=cv2.INTER_LINEAR)
        smooth = smooth[: luma.shape[0], : luma.shape[1]]
        changed = cv2.addWeighted(luma, 1, smooth, 1 / _FINENESS, -128 / _FINENESS)
        return replace(picture, planes=(changed, blue, red))

    def _rows(self, rgb: Pixels) -> Pixels:
        converted: Pixels = cv2.LUT(cv2.transform(cv2.LUT(rgb, self.to_linear), self.matrix), _encode_table())
        return converted


@lru_cache(maxsize=8)
def _kept(curves: bytes, to_xyz: bytes) -> MatrixConversion:
    numbers = np.frombuffer(curves).reshape(3, 256), np.frombuffer(to_xyz).reshape(3, 3)
    return MatrixConversion.made_of(MatrixProfile(*numbers))


def _changes(
    profile: MatrixProfile, matrix: npt.NDArray[np.float64], colors: npt.NDArray[np.int64]
) -> npt.NDArray[np.float64]:
    """How many levels these colors (n x 3) come out from where they went in."""
    linear = np.stack([profile.curves[channel][colors[:, channel]] for channel in range(3)], axis=-1)
    return np.asarray(linear_to_srgb(np.clip(linear @ matrix.T, 0, 1)) * 255 - colors)


def _grays() -> npt.NDArray[np.int64]:
    return np.repeat(np.arange(256)[:, None], 3, axis=1)


def _grid_of_colors() -> npt.NDArray[np.int64]:
    levels = np.arange(0, 256, 51)
    return np.stack(np.meshgrid(levels, levels, levels), axis=-1).reshape(-1, 3)


@cache
def _encode_table() -> npt.NDArray[np.uint8]:
    """The sRGB level, rounded, of every 16-bit linear value."""
    return np.rint(linear_to_srgb(np.arange(65536) / 65535) * 255).astype(np.uint8)
