"""Ports of the pixel work: decode a stranger's photo, find the people in it, encode the picture that is kept.

The synchronous ports work inside sandboxed processes, or reach into them; but `tryon-images crop` reads an operator's
own photos itself. `PhotoProcessor` is what the rest of the service sees.
"""

from dataclasses import dataclass
from typing import Protocol

from domain.cropping import Fit
from domain.geometry import NO_PADDING, Box, Padding, Size
from domain.image import StoredPhoto
from domain.person import Outline, SeenPhoto
from domain.photo import Appearance, PhotoWarning, SourceFormat


@dataclass(frozen=True, slots=True)
class RgbPixels:
    """An upright 8-bit sRGB picture: `data` holds height x width x 3 bytes, row by row, without padding."""

    size: Size
    data: bytes | bytearray | memoryview


@dataclass(frozen=True, slots=True)
class EncodedPhoto:
    """A finished picture: `jpeg` is baseline, 8-bit, sRGB and free of metadata; `size` is its size in pixels."""

    jpeg: bytes
    size: Size
    warnings: tuple[PhotoWarning, ...] = ()


@dataclass(frozen=True, slots=True)
class PreparedPhoto:
    """The picture to keep that was made of a photo, and all that is reported about it."""

    jpeg: bytes
    facts: StoredPhoto


class ViewablePhoto(Protocol):
    """One photo as detectors know it: they may look, and no more."""

    @property
    def source_format(self) -> SourceFormat: ...

    @property
    def upright_size(self) -> Size:
        """Size in pixels after EXIF orientation (JPEG, PNG, WebP) or irot/imir (HEIC) was applied."""

    def view(self, window: Box | None, longest_edge: int) -> RgbPixels:
        """A look at the upright photo, or at a window of it, scaled down to `longest_edge` at most; never up.

        Good enough for a detector: fast resampling. Raises: InvalidImage.
        """


class OpenPhoto(ViewablePhoto, Protocol):
    """One photo whose headers were read and found acceptable; its pixels are decoded when first asked for."""

    def decode(self, longest_edge: int) -> None:
        """Decode the pixels now, so that whoever looks next does not wait for them.

        As many as the largest 4:5 window at `longest_edge` needs. Raises: InvalidImage.
        """
        ...

    def turn(self, turns: int) -> bool:
        """Take the photo for one that is upright after so many quarter turns counterclockwise (1-3), from now on.

        Returns: False, and nothing changes, where the file itself says which way is up.
        """

    def encode(self, window: Box | None, longest_edge: int, padding: Padding = NO_PADDING) -> EncodedPhoto:
        """The picture to keep: upright, cut to `window`, `longest_edge` at most, never scaled up, sRGB, baseline JPEG.

        The last thing that a photo is asked for: where it is decoded in a process of its own, that process ends.
        With `padding`, in pixels of the upright source, the window's edges go on around it, stretched and blurred; in
        the picture it is `padding.scaled`.
        Raises: InvalidImage: truncated or corrupt pixel data.
        """


class PhotoDecoder(Protocol):
    """Reads strangers' files."""

    def open(self, photo: bytes | memoryview) -> OpenPhoto:
        """Read the headers of a stranger's file with bounded time and memory.

        Raises: UnsupportedImageFormat; InvalidImage; ImageTooLarge, decided before any pixel is decoded.
        """


class PersonDetector(Protocol):
    """Finds people, in one photo at a time."""

    def detect(self, photo: ViewablePhoto) -> SeenPhoto:
        """Where the picture itself is and everybody in it; drawn and mannequin people may be among them.

        Raises: InvalidImage.
        """


class PhotoMeter(Protocol):
    """Measures light and sharpness."""

    def measure(self, photo: ViewablePhoto, region: Box | None, outline: Outline | None = None) -> Appearance:
        """How a region of the upright source, or all of it, looks, and of it only what `outline` says is the person.

        Raises: InvalidImage.
        """


class PhotoProcessor(Protocol):
    """The whole way from an uploaded file to the picture that is kept, somewhere safe from what the file may do."""

    async def prepare(self, photo: bytes | bytearray | memoryview, *, crop: bool, fit: Fit = Fit.CROP) -> PreparedPhoto:
        """Raises: UnsupportedImageFormat, InvalidImage, ImageTooLarge; Overloaded when the fault is ours."""
