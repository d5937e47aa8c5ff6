"""The family of a file, read from its first bytes and from nothing else."""

from typing import Final

from domain.photo import SourceFormat

_JPEG_MAGIC: Final = b"\xff\xd8\xff"  # ITU T.81: SOI and the first byte of the next marker
_PNG_MAGIC: Final = b"\x89PNG\r\n\x1a\n"  # PNG specification, 5.2
_MAX_FTYP_BYTES: Final = 1024  # real files list under 20 brands of 4 bytes

# ISO 23008-12, annex B: HEVC still pictures, and the structural brand that they share with every other HEIF.
_HEVC_STILL_BRANDS: Final = frozenset({b"heic", b"heix", b"heim", b"heis"})
_ANY_STILL_BRANDS: Final = frozenset({b"mif1", b"mif2", b"mif3"})
_OTHER_CODEC_BRANDS: Final = frozenset(
    {b"avif", b"avis", b"avio", b"j2ki", b"j2is", b"jpeg", b"jpgs", b"avci", b"vvic"}
)


def sniff(photo: bytes) -> SourceFormat | None:
    """The family that the magic bytes announce, or None for everything that is not accepted."""
    if photo.startswith(_JPEG_MAGIC):
        return SourceFormat.JPEG
    if photo.startswith(_PNG_MAGIC):
        return SourceFormat.PNG
    if photo[:4] == b"RIFF" and photo[8:12] == b"WEBP":
        return SourceFormat.WEBP
    if photo[4:8] == b"ftyp" and _is_hevc_still(photo):
        return SourceFormat.HEIC
    return None


def _is_hevc_still(photo: bytes) -> bool:
    """Whether the brands promise a HEVC still picture; the primary item's codec is looked at later."""
    end = min(int.from_bytes(photo[:4], "big"), _MAX_FTYP_BYTES)
    brands = [photo[8:12], *(photo[at : at + 4] for at in range(16, end - 3, 4))]
    if brands[0] in _OTHER_CODEC_BRANDS:
        return False
    if _HEVC_STILL_BRANDS.intersection(brands):
        return True
    return bool(_ANY_STILL_BRANDS.intersection(brands)) and not _OTHER_CODEC_BRANDS.intersection(brands)
