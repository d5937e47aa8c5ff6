"""The JPEG that is kept: baseline, and nothing in it but tables and pixels."""

from typing import Final

from adapters.imaging.native import libturbojpeg
from adapters.imaging.picture import Picture

_QUALITY: Final = 92  # HTTP contract
_JFIF_BYTES: Final = 18
_SOI: Final = b"\xff\xd8"


def encode_jpeg(picture: Picture) -> bytes:
    """A 4:2:0 picture in sRGB as a baseline JPEG without any application or comment segment.

    The encoder writes a JFIF header, which says nothing that a reader does not assume of a three-component JPEG.
    """
    jpeg = libturbojpeg.encode_420(*picture.in_color().planes, quality=_QUALITY)
    start = 2 + _JFIF_BYTES if jpeg[2:4] == b"\xff\xe0" else 2
    return b"".join((_SOI, jpeg[start:]))
