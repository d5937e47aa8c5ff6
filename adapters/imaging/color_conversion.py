"""From the colors of a file to sRGB, applied to the small result; what is too steep for 8 bits was converted before."""

import io
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final, Self, TypeAlias

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageCms

from adapters.imaging.color_spaces import (
    SRGB_LEVELS,
    XYZ_TO_SRGB,
    Floats,
    MatrixProfile,
    UnusableProfileError,
    linear_to_srgb,
    profile_color_space,
    profile_of_tag,
    read_gray_curve,
    read_matrix_profile,
)
from adapters.imaging.picture import Colors, Picture, picture_of
from adapters.imaging.resampling import Pixels, halved
from adapters.imaging.scanned_photo import ScannedPhoto
from domain.photo import PhotoWarning, WarningCode

ToSrgb: TypeAlias = Callable[[Picture], Picture]

_PROFILE_IGNORED: Final = PhotoWarning(
    WarningCode.COLOR_PROFILE_IGNORED,
    "The photo's color profile is damaged or does not fit it; colors were taken as sRGB.",
)
_TONE_MAPPED: Final = PhotoWarning(
    WarningCode.HDR_TONE_MAPPED,
    "The photo is HDR; its brightness was reduced to what an ordinary picture can hold.",
)
_SPACES: Final = {Colors.GRAY: "GRAY", Colors.COLOR: "RGB", Colors.INKS: "CMYK"}

_ROWS_AT_ONCE: Final = 64  # 64 rows of 1,600 pixels as 16-bit numbers stay in a core's own cache

_FINENESS: Final = 2
"""Changes of luma are kept in halves of a level around 128, hence up to 63 levels: Display P3 needs 43."""

_LUMA: Final = np.array([0.299, 0.587, 0.114])  # ITU-R BT.601, as in JFIF
_GRAYS: Final = np.repeat(np.arange(256)[:, None], 3, axis=1)
_COLORS: Final = np.stack(np.meshgrid(*[np.arange(0, 256, 51)] * 3), axis=-1).reshape(-1, 3)


@dataclass(frozen=True, slots=True)
class MatrixConversion:
    """Look-up, 3 x 3 matrix, look-up, in 16-bit linear light.

    `to_linear` (256, or 1 x 256 x 3) holds the linear light of each level, `matrix` leads from there to linear sRGB.
    `changes_nothing` says that the profile is sRGB in effect, within a level.
    `suits_planes` says that grays stay what they are, within a level, and luma nearly so: all that the profile
    changes is how far its primaries reach, as Display P3 does.
    """

    to_linear: npt.NDArray[np.uint16]
    matrix: Floats
    changes_nothing: bool
    suits_planes: bool

    @classmethod
    def of(cls, profile: MatrixProfile) -> Self:
        matrix = XYZ_TO_SRGB @ profile.to_xyz
        of_grays, of_colors = _changes(profile, matrix, _GRAYS), _changes(profile, matrix, _COLORS)
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
        converted: Pixels = cv2.LUT(cv2.transform(cv2.LUT(rgb, self.to_linear), self.matrix), SRGB_LEVELS)
        return converted


def _changes(profile: MatrixProfile, matrix: Floats, colors: npt.NDArray[np.int64]) -> Floats:
    """How many levels these colors (n x 3) come out from where they went in."""
    linear = profile.curves[np.arange(3), colors]
    return np.asarray(linear_to_srgb(np.clip(linear @ matrix.T, 0, 1)) * 255 - colors)


def conversion_to_srgb(photo: ScannedPhoto, colors: Colors) -> tuple[ToSrgb, tuple[PhotoWarning, ...]]:
    """How 4:2:0 pictures of these colors, and inks, become gray or color in sRGB; and what the customer should know."""
    if photo.color_tag is not None and photo.color_tag.is_steep:  # then the decoder has converted all it had
        return _without_profile(colors), ((_TONE_MAPPED,) if photo.color_tag.is_hdr else ())
    try:
        conversion = _described_conversion(photo, colors)
    except UnusableProfileError:
        return _without_profile(colors), (_PROFILE_IGNORED,)
    return conversion, ((_PROFILE_IGNORED,) if photo.profile_is_broken else ())


def _described_conversion(photo: ScannedPhoto, colors: Colors) -> ToSrgb:
    profile = photo.icc_profile
    if profile is None:
        if photo.color_tag is None or colors is Colors.INKS:
            return _without_profile(colors)
        return _by_matrix(MatrixConversion.of(profile_of_tag(photo.color_tag)))
    space = profile_color_space(profile)
    if space == "RGB" and colors is not Colors.INKS:
        numbers = read_matrix_profile(profile)
        return _by_matrix(MatrixConversion.of(numbers)) if numbers else _in_rgb(_by_engine(profile, "RGB"))
    if space != _SPACES[colors]:
        raise UnusableProfileError
    return _by_gray_profile(profile) if colors is Colors.GRAY else _of_inks(_by_engine(profile, "CMYK"))


def _without_profile(colors: Colors) -> ToSrgb:
    return _of_inks(_plain_inks) if colors is Colors.INKS else lambda picture: picture


def _in_rgb(convert: Callable[[Pixels], Pixels]) -> ToSrgb:
    return lambda picture: picture_of(convert(picture.rgb()))


def _of_inks(convert: Callable[[Pixels], Pixels]) -> ToSrgb:
    return lambda picture: picture_of(convert(cv2.merge(picture.planes)))


def _plain_inks(pixels: Pixels) -> Pixels:
    """Inks without a profile, multiplied as browsers do it."""
    inverted = cv2.bitwise_not(pixels)
    mixed: Pixels = cv2.multiply(inverted[:, :, :3], cv2.merge([inverted[:, :, 3]] * 3), scale=1 / 255)
    return mixed


def _by_matrix(matrix: MatrixConversion) -> ToSrgb:
    if matrix.changes_nothing:
        return lambda picture: picture
    by_pixels = _in_rgb(matrix.pixels)
    if not matrix.suits_planes:
        return by_pixels
    return lambda picture: picture if picture.colors is Colors.GRAY else matrix.planes(picture)


def _by_gray_profile(profile: bytes) -> ToSrgb:
    curve = read_gray_curve(profile)
    if curve is None:
        levels = _by_engine(profile, "L")(np.arange(256, dtype=np.uint8).reshape(1, 256))[0, :, 1]
    else:
        levels = np.rint(linear_to_srgb(curve) * 255).astype(np.uint8)
    return lambda picture: replace(picture, planes=(cv2.LUT(picture.planes[0], levels),))


def _by_engine(profile: bytes, mode: str) -> Callable[[Pixels], Pixels]:
    """By Little CMS: profiles made of tables, and inks. Raises: UnusableProfileError."""
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        transform = ImageCms.buildTransform(source, ImageCms.createProfile("sRGB"), mode, "RGB")
    except (ImageCms.PyCMSError, OSError, ValueError) as error:
        raise UnusableProfileError from error

    def convert(pixels: Pixels) -> Pixels:
        image = Image.fromarray(np.ascontiguousarray(pixels), mode)
        if image.mode != transform.input_mode:
            raise UnusableProfileError
        return np.asarray(transform.apply(image))

    return convert
