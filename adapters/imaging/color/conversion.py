"""From the colors of a file to sRGB, applied to the small result and never to the large source."""

import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeAlias

import cv2
import numpy as np
from PIL import Image, ImageCms

from adapters.imaging.color.code_points import linear_to_srgb
from adapters.imaging.color.icc_profile import (
    UnusableProfileError,
    profile_color_space,
    profile_of_tag,
    read_gray_curve,
    read_matrix_profile,
)
from adapters.imaging.color.matrix_conversion import MatrixConversion
from adapters.imaging.raster import Channels, Pixels, PlanarRaster
from adapters.imaging.scanned_photo import ScannedPhoto
from domain.photo import PhotoWarning, WarningCode

ToSrgb: TypeAlias = Callable[[Pixels], Pixels]

_PROFILE_IGNORED: Final = PhotoWarning(
    WarningCode.COLOR_PROFILE_IGNORED,
    "The photo's color profile is damaged or does not fit it; colors were taken as sRGB.",
)
_TONE_MAPPED: Final = PhotoWarning(
    WarningCode.HDR_TONE_MAPPED,
    "The photo is HDR; its brightness was reduced to what an ordinary picture can hold.",
)
_SPACES: Final = {Channels.GRAY: "GRAY", Channels.RGB: "RGB", Channels.CMYK: "CMYK"}


@dataclass(frozen=True, slots=True)
class Conversion:
    """The way of a photo's colors to sRGB.

    `pixels` makes RGB of what the file has. `planes` does the same to a 4:2:0 picture of full range that stays one;
    None where that would not be the same.
    """

    pixels: ToSrgb
    planes: Callable[[PlanarRaster], PlanarRaster] | None = None


def conversion_to_srgb(photo: ScannedPhoto, channels: Channels) -> tuple[Conversion, tuple[PhotoWarning, ...]]:
    """How pixels of these channels (GRAY, RGB or CMYK) become RGB in sRGB, and what the customer should know."""
    if photo.color_tag is not None and photo.color_tag.is_steep:  # then the decoder has converted all it had
        return _without_profile(channels), ((_TONE_MAPPED,) if photo.color_tag.is_hdr else ())
    try:
        conversion = _described_conversion(photo, channels)
    except UnusableProfileError:
        return _without_profile(channels), (_PROFILE_IGNORED,)
    return conversion, ((_PROFILE_IGNORED,) if photo.profile_is_broken else ())


def _described_conversion(photo: ScannedPhoto, channels: Channels) -> Conversion:
    plain = _without_profile(channels)
    if photo.icc_profile is None:
        if photo.color_tag is None or channels is Channels.CMYK:
            return plain
        return _by_matrix(MatrixConversion.of(profile_of_tag(photo.color_tag)), plain)
    space = profile_color_space(photo.icc_profile)
    if space == "RGB" and channels in {Channels.RGB, Channels.GRAY}:
        return _by_rgb_profile(photo.icc_profile, plain)
    if space != _SPACES.get(channels):
        raise UnusableProfileError
    is_gray = channels is Channels.GRAY
    return Conversion(_by_gray_profile(photo.icc_profile) if is_gray else _by_engine(photo.icc_profile, "CMYK"))


def _without_profile(channels: Channels) -> Conversion:
    if channels is Channels.GRAY:
        return Conversion(lambda pixels: cv2.cvtColor(pixels, cv2.COLOR_GRAY2RGB))
    if channels is Channels.CMYK:
        return Conversion(_plain_cmyk)
    return Conversion(pixels=lambda pixels: pixels, planes=lambda picture: picture)


def _plain_cmyk(pixels: Pixels) -> Pixels:
    """Inks without a profile, multiplied as browsers do it."""
    inverted = cv2.bitwise_not(pixels)
    mixed: Pixels = cv2.multiply(inverted[:, :, :3], cv2.merge([inverted[:, :, 3]] * 3), scale=1 / 255)
    return mixed


def _by_rgb_profile(profile: bytes, plain: Conversion) -> Conversion:
    numbers = read_matrix_profile(profile)
    if numbers is not None:
        return _by_matrix(MatrixConversion.of(numbers), plain)
    by_engine = _by_engine(profile, "RGB")
    return Conversion(lambda pixels: by_engine(plain.pixels(pixels)))


def _by_matrix(matrix: MatrixConversion, plain: Conversion) -> Conversion:
    if matrix.changes_nothing:
        return plain
    return Conversion(
        lambda pixels: matrix.pixels(plain.pixels(pixels)),
        matrix.planes if matrix.suits_planes else None,
    )


def _by_gray_profile(profile: bytes) -> ToSrgb:
    curve = read_gray_curve(profile)
    if curve is None:
        levels = _by_engine(profile, "L")(np.arange(256, dtype=np.uint8).reshape(1, 256))[0, :, 1]
    else:
        levels = np.rint(linear_to_srgb(curve) * 255).astype(np.uint8)
    return lambda pixels: cv2.cvtColor(cv2.LUT(pixels, levels), cv2.COLOR_GRAY2RGB)


def _by_engine(profile: bytes, mode: str) -> ToSrgb:
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
