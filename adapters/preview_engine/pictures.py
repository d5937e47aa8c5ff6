"""Pixels of the preview: our own baseline JPEGs in and out, and the array types that all its steps share."""

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt
import simplejpeg

from domain.geometry import Size

Rgb = npt.NDArray[np.uint8]
"""Height x width x 3, sRGB."""
Mask = npt.NDArray[np.float32]
"""Height x width, 0 to 1."""
Flags = npt.NDArray[np.bool_]
"""Height x width, yes or no."""
Points = npt.NDArray[np.float32]
"""Any shape x 2: x and y in pixels."""

JPEG_QUALITY = 90  # visually lossless at the sizes that a shop shows


@dataclass(frozen=True, slots=True)
class RenderedTryOn:
    """A finished preview: a baseline sRGB JPEG without metadata, of the person photo's size."""

    jpeg: bytes
    size: Size


def decode(jpeg: bytes) -> Rgb:
    """The pixels of one of our own normalized files."""
    pixels: Rgb = simplejpeg.decode_jpeg(jpeg, colorspace="RGB")
    return pixels


def encode(picture: Rgb) -> RenderedTryOn:
    """A baseline JPEG that holds nothing but the pixels."""
    height, width = picture.shape[:2]
    jpeg: bytes = simplejpeg.encode_jpeg(
        np.ascontiguousarray(picture), quality=JPEG_QUALITY, colorspace="RGB", colorsubsampling="420"
    )
    return RenderedTryOn(jpeg, Size(width, height))


def shrunk(picture: Rgb, longest_edge: int) -> Rgb:
    """Scaled down so that its longest edge is `longest_edge` at most; never up."""
    height, width = picture.shape[:2]
    size = Size(width, height).limited_to(longest_edge)
    if size.width == width:
        return picture
    return np.asarray(cv2.resize(picture, (size.width, size.height), interpolation=cv2.INTER_AREA), dtype=np.uint8)


def blurred(mask: npt.NDArray[np.float32], sigma: float) -> npt.NDArray[np.float32]:
    """A Gaussian blur; sigma in pixels."""
    return np.asarray(cv2.GaussianBlur(mask, (0, 0), sigma, borderType=cv2.BORDER_REPLICATE), dtype=np.float32)


def disk(radius: float) -> npt.NDArray[np.uint8]:
    """A round structuring element for morphology."""
    edge = 2 * max(1, round(radius)) + 1
    return np.asarray(cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (edge, edge)), dtype=np.uint8)


def to_lab(picture: Rgb) -> npt.NDArray[np.float32]:
    """CIE L*a*b* with its natural scales: L 0 to 100, a and b about -128 to 127."""
    return np.asarray(cv2.cvtColor(picture.astype(np.float32) / 255.0, cv2.COLOR_RGB2LAB), dtype=np.float32)


def to_rgb(lab: npt.NDArray[np.float32]) -> Rgb:
    """Back from CIE L*a*b*; colors outside sRGB are clipped."""
    rgb = cv2.cvtColor(lab, cv2.COLOR_LAB2RGB)
    return np.asarray(np.clip(np.rint(rgb * 255.0), 0, 255), dtype=np.uint8)


def extended(picture: Rgb, mask: Mask) -> Rgb:
    """What the mask shows, each pixel outside it in the color of the nearest pixel inside."""
    inside = (mask > 0.98).astype(np.uint8)
    _, labels = cv2.distanceTransformWithLabels(1 - inside, cv2.DIST_L2, 3, labelType=cv2.DIST_LABEL_PIXEL)
    colors = np.zeros((int(labels.max()) + 1, 3), dtype=np.uint8)
    colors[labels[inside > 0]] = picture[inside > 0]
    return np.asarray(colors[labels], dtype=np.uint8)
