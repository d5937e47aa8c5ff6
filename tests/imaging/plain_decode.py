"""Importing this decodes one photo of each family, the way a worker does: no test library is loaded along."""

import struct
import zlib

from adapters.imaging.photo_decoder import ImagingPhotoDecoder


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


PNG = b"".join(
    [
        b"\x89PNG\r\n\x1a\n",
        _chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 2, 0, 0, 0)),
        _chunk(b"IDAT", zlib.compress(b"\0abc")),
        _chunk(b"IEND", b""),
    ]
)
KEPT = ImagingPhotoDecoder().open(ImagingPhotoDecoder().open(PNG).encode(None, 2000).jpeg).encode(None, 2000)
