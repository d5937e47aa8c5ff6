"""From the colors of a file to sRGB, applied to the small result and never to the large source."""

import io
from collections.abc import Callable
from dataclasses import replace
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
from adapters.imaging.picture import Colors, Picture, picture_of
from adapters.imaging.resampling import Pixels
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
