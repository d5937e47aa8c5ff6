"""From the colors of a file to sRGB, applied to the small result and never to the large source."""

import io
from collections.abc import Callable
from functools import cache
from typing import Final, TypeAlias

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageCms

from adapters.imaging.icc_profile import (
    MatrixProfile,
    UnusableProfileError,
    linear_to_srgb,
    profile_color_space,
    profile_of_tag,
    read_gray_curve,
    read_matrix_profile,
    xyz_to_srgb,
)
from adapters.imaging.raster import Channels, Pixels
from adapters.imaging.scanned_photo import ScannedPhoto
from domain.photo import PhotoWarning, WarningCode

ToSrgb: TypeAlias = Callable[[Pixels], Pixels]

_PROFILE_IGNORED: Final = PhotoWarning(
    WarningCode.COLOR_PROFILE_IGNORED,
    "The photo's color profile is damaged or does not fit it; colors were taken as sRGB.",
)
_ROWS_AT_ONCE: Final = 64  # 64 rows of 1,600 pixels as 16-bit numbers stay in a core's own cache
_SPACES: Final = {Channels.GRAY: "GRAY", Channels.RGB: "RGB", Channels.CMYK: "CMYK"}


def conversion_to_srgb(photo: ScannedPhoto, channels: Channels) -> tuple[ToSrgb, tuple[PhotoWarning, ...]]:
    """How pixels of these channels (GRAY, RGB or CMYK) become RGB in sRGB, and what the customer should know."""
    try:
        conversion = _described_conversion(photo, channels)
    except UnusableProfileError:
        return _without_profile(channels), (_PROFILE_IGNORED,)
    return conversion, ((_PROFILE_IGNORED,) if photo.profile_is_broken else ())


def _described_conversion(photo: ScannedPhoto, channels: Channels) -> ToSrgb:
    plain = _without_profile(channels)
    if photo.icc_profile is None:
        if photo.color_tag is None or channels is Channels.CMYK:
            return plain
        by_tag = _by_matrix(profile_of_tag(photo.color_tag))
        return lambda pixels: by_tag(plain(pixels))
    space = profile_color_space(photo.icc_profile)
    if space == "RGB" and channels in {Channels.RGB, Channels.GRAY}:
        convert = _by_rgb_profile(photo.icc_profile)
        return lambda pixels: convert(plain(pixels))
    if space != _SPACES.get(channels):
        raise UnusableProfileError
    return _by_gray_profile(photo.icc_profile) if channels is Channels.GRAY else _by_engine(photo.icc_profile, "CMYK")


def _without_profile(channels: Channels) -> ToSrgb:
    if channels is Channels.GRAY:
        return lambda pixels: cv2.cvtColor(pixels, cv2.COLOR_GRAY2RGB)
    if channels is Channels.CMYK:
        return _plain_cmyk
    return lambda pixels: pixels


def _plain_cmyk(pixels: Pixels) -> Pixels:
    """Inks without a profile, multiplied as browsers do it."""
    inverted = cv2.bitwise_not(pixels)
    mixed: Pixels = cv2.multiply(inverted[:, :, :3], cv2.merge([inverted[:, :, 3]] * 3), scale=1 / 255)
    return mixed


def _by_rgb_profile(profile: bytes) -> ToSrgb:
    matrix_profile = read_matrix_profile(profile)
    return _by_engine(profile, "RGB") if matrix_profile is None else _by_matrix(matrix_profile)


def _by_matrix(profile: MatrixProfile) -> ToSrgb:
    """Look-up, 3 x 3 matrix, look-up, in 16-bit linear light; nothing at all when the profile is sRGB in effect."""
    matrix = xyz_to_srgb() @ profile.to_xyz
    if _is_srgb(profile, matrix):
        return lambda pixels: pixels
    curves = np.rint(profile.curves * 65535).astype(np.uint16)
    is_one_curve = bool((curves == curves[0]).all())  # of most profiles: then the look-up takes half the time
    to_linear = curves[0] if is_one_curve else np.ascontiguousarray(curves.T.reshape(1, 256, 3))
    encode = _encode_table()

    def convert(pixels: Pixels) -> Pixels:
        converted = np.empty_like(pixels)
        for top in range(0, pixels.shape[0], _ROWS_AT_ONCE):
            rows = pixels[top : top + _ROWS_AT_ONCE]
            linear = cv2.transform(cv2.LUT(rows, to_linear), matrix)
            converted[top : top + _ROWS_AT_ONCE] = cv2.LUT(linear, encode)
        return converted

    return convert


def _is_srgb(profile: MatrixProfile, matrix: npt.NDArray[np.float64]) -> bool:
    """Whether a grid of colors comes out within half a level of where it went in."""
    levels = np.arange(0, 256, 15)
    grid = np.stack(np.meshgrid(levels, levels, levels), axis=-1).reshape(-1, 3)
    linear = np.stack([profile.curves[channel][grid[:, channel]] for channel in range(3)], axis=-1)
    encoded = linear_to_srgb(np.clip(linear @ matrix.T, 0, 1)) * 255
    return bool(np.abs(encoded - grid).max() < 1.0)


@cache
def _encode_table() -> npt.NDArray[np.uint8]:
    """The sRGB level, rounded, of every 16-bit linear value."""
    return np.rint(linear_to_srgb(np.arange(65536) / 65535) * 255).astype(np.uint8)


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
