"""HEIC: one bounded walk over the boxes that keeps the primary picture and what it is made of, and its pixels."""

import struct
from dataclasses import dataclass, field
from fractions import Fraction
from math import floor
from typing import Final

import cv2
import numpy as np
import pillow_heif

from adapters.imaging.color_spaces import ColorTag, tag_of_code_points
from adapters.imaging.heif_boxes import Box, Fields, Meta, box, full_box, read_meta
from adapters.imaging.heif_stream import code_points_of
from adapters.imaging.native import libheif
from adapters.imaging.picture import NEUTRAL, Colors, Picture
from adapters.imaging.resampling import Pixels
from adapters.imaging.samples import picture_of_samples
from adapters.imaging.scanned_photo import Orientation, ScannedPhoto, acceptable_profile, nonempty_size
from adapters.sandbox import system
from domain.errors import InvalidImage, UnsupportedImageFormat
from domain.geometry import Size
from domain.photo import SourceFormat

_HEVC: Final = b"hvc1"
_DERIVED: Final = frozenset({b"grid", b"iden"})
_TONE_MAPPED: Final = (
    b"tmap"  # ISO 21496-1: made of an ordinary picture and its gain map; ordinary readers show the former
)
# Properties that decide pixels; the rest is dropped, or refused when the file calls it essential.
_KEPT_PROPERTIES: Final = frozenset({b"hvcC", b"ispe", b"pixi", b"irot", b"imir", b"clap", b"auxC", b"colr"})
_NCLX_BYTES: Final = 11
_UNSPECIFIED: Final = 2  # H.273
_META_HEADER_BYTES: Final = 12  # a full box: size, kind, version and flags

# A phone's HEIC is a grid of tiles, which libheif decodes on so many threads at the same time. Where all cores are busy
# they share the time that one thread would have had; where one is idle, a photo does not wait for the other.
_THREADS: Final = system.usable_cores()
pillow_heif.options.DECODE_THREADS = _THREADS
pillow_heif.options.THUMBNAILS = False
pillow_heif.options.DEPTH_IMAGES = False
pillow_heif.options.AUX_IMAGES = False


@dataclass(frozen=True, slots=True)
class ScannedHeif(ScannedPhoto):
    """A HEIC found acceptable; libheif itself turns and mirrors it, so that `orientation` stays upright.

    `largest_pixels` is the largest picture that decoding touches; `is_cut` says that it has a clean aperture.
    """

    largest_pixels: int = field(kw_only=True)
    is_cut: bool = field(kw_only=True)


def scan_heif(photo: bytes) -> ScannedHeif:
    """Read a HEIF's structure and rebuild it with the primary picture alone.

    Burst pictures, gain map and what is made with it, depth, thumbnails, EXIF, XMP and Live Photo stay behind.
    EXIF's orientation is only informative here: irot and imir are what counts. Source: ISO 23008-12.
    Raises: InvalidImage; UnsupportedImageFormat when the primary picture is not HEVC.
    """
    meta = read_meta(photo)
    if meta.kinds.get(meta.primary) == _TONE_MAPPED:
        meta.primary = next(iter(meta.inputs_of(meta.primary)), meta.primary)
    items = _needed_items(meta)
    sizes = [_declared_size(meta, item) for item in items]
    profiles = [body[4:] for body in _color_boxes(meta) if body[:4] in {b"prof", b"rICC"}]
    profile, is_broken = acceptable_profile(profiles[0] if profiles else None)
    _take_over_colors_of_the_stream(meta)
    tag = _color_tag(meta)
    tells_orientation = meta.bodies(meta.primary, b"irot") or meta.bodies(meta.primary, b"imir")
    return ScannedHeif(
        source_format=SourceFormat.HEIC,
        stored_size=_upright_size(meta, sizes[0]),
        orientation=Orientation.UPRIGHT if tells_orientation else None,
        stream=_rebuild(meta, items, _payloads(meta, items, photo)),
        icc_profile=profile,
        profile_is_broken=is_broken,
        color_tag=tag if profile is None or (tag and tag.is_hdr) else None,
        largest_pixels=max(size.pixels for size in sizes),
        is_cut=any(meta.bodies(item, b"clap") for item in items),
    )


def _needed_items(meta: Meta) -> list[int]:
    """The primary picture first, then everything that its pixels come from, each once."""
    if meta.kinds.get(meta.primary) not in _DERIVED | {_HEVC}:
        raise UnsupportedImageFormat if meta.primary in meta.kinds else InvalidImage
    needed = {meta.primary: None}
    waiting = [meta.primary]
    while waiting:
        item = waiting.pop()
        parts = [*meta.alpha_of(item), *(meta.inputs_of(item) if meta.kinds.get(item) in _DERIVED else ())]
        waiting += [part for part in parts if part not in needed]
        needed.update(dict.fromkeys(parts))
    if any(meta.kinds.get(item) not in _DERIVED | {_HEVC} for item in needed):
        raise InvalidImage
    return list(needed)


def _declared_size(meta: Meta, item: int) -> Size:
    for body in meta.bodies(item, b"ispe"):
        fields = Fields(body)
        fields.number(4)
        return nonempty_size(fields.number(4), fields.number(4))
    raise InvalidImage


def _upright_size(meta: Meta, stored: Size) -> Size:
    """The size after clean aperture and turns, in the order in which they are associated."""
    size = stored
    for _, _, prop in meta.properties_of(meta.primary):
        if prop.kind == b"irot" and prop.body[:1] and prop.body[0] & 1:
            size = size.transposed()
        elif prop.kind == b"clap":
            size = _clean_aperture(prop.body, size)
    return size


def _clean_aperture(body: bytes, size: Size) -> Size:
    """The size that is left of it, rounded as libheif does it. Source: ISO 14496-12, 12.1.4."""
    if len(body) < 32:
        raise InvalidImage
    numbers = struct.unpack_from(">IIIIiIiI", body)  # of width, height and both offsets of the middle
    if 0 in numbers[1::2]:
        raise InvalidImage
    width, height, across, down = (Fraction(*numbers[at : at + 2]) for at in (0, 2, 4, 6))
    return nonempty_size(_clean_edge(size.width, width, across), _clean_edge(size.height, height, down))


def _clean_edge(edge: int, clean: Fraction, offset: Fraction) -> int:
    """The first pixel is rounded down, and where the last one is in between two, the latter counts."""
    first = floor(offset + Fraction(edge - 1, 2) - (clean - 1) / 2)
    last = floor(first + clean - Fraction(1, 2))
    return min(last, edge - 1) - max(first, 0) + 1


def _payloads(meta: Meta, items: list[int], photo: bytes) -> list[bytes]:
    """The items' bytes. Raises: InvalidImage when they overlap so much that they outgrow the file."""
    payloads, total = [], 0
    for item in items:
        payloads.append(_payload(meta, item, photo))
        total += len(payloads[-1])
        if total > len(photo):
            raise InvalidImage
    return payloads


def _payload(meta: Meta, item: int, photo: bytes) -> bytes:
    """An item's bytes, put together from its extents. Raises: InvalidImage when one leaves the file."""
    location = meta.locations.get(item)
    if location is None:
        if meta.kinds[item] == b"iden":
            return b""
        raise InvalidImage
    source = meta.idat if location.in_idat else photo
    parts = []
    if sum(length for _, length in location.extents) > len(source):
        raise InvalidImage
    for start, length in location.extents:
        end = start + length if length else len(source)
        if end > len(source):
            raise InvalidImage
        parts.append(source[start:end])
    return b"".join(parts)


def _color_boxes(meta: Meta) -> list[bytes]:
    """The colr boxes of the primary picture, or else of its first tile: four letters, then the content."""
    items = meta.primary, *meta.inputs_of(meta.primary)[:1]
    return next((found for item in items if (found := meta.bodies(item, b"colr"))), [])


def _color_tag(meta: Meta) -> ColorTag | None:
    """What nclx says; libheif applies its matrix, the third number, itself."""
    for body in _color_boxes(meta):
        if body[:4] == b"nclx" and len(body) >= 8:
            return tag_of_code_points(*struct.unpack_from(">HH", body, 4))
    return None


def _take_over_colors_of_the_stream(meta: Meta) -> None:
    """Let nclx say what otherwise the HEVC stream alone says: libheif looks into it for some colors only."""
    said = code_points_of(_first_configuration(meta))
    if said is None:
        return
    numbers = said.primaries, said.transfer, said.matrix
    for item in (meta.primary, *meta.inputs_of(meta.primary)[:1]):
        for _, index, prop in meta.properties_of(item):
            if prop.kind == b"colr" and prop.body[:4] == b"nclx" and len(prop.body) >= _NCLX_BYTES:
                own = struct.unpack_from(">HHH", prop.body, 4)
                both = [new if old == _UNSPECIFIED else old for old, new in zip(own, numbers, strict=True)]
                meta.properties[index - 1] = Box(b"colr", b"nclx" + struct.pack(">HHH", *both) + prop.body[10:])
                return
    meta.properties.append(Box(b"colr", b"nclx" + struct.pack(">HHHB", *numbers, said.is_full_range << 7)))
    meta.associations[meta.primary] = ((False, len(meta.properties)), *meta.associations.get(meta.primary, ()))


def _first_configuration(meta: Meta) -> bytes:
    """The hvcC box of the first coded picture that the primary one is made of; empty without any."""
    item = meta.primary
    for _ in meta.kinds:
        if found := meta.bodies(item, b"hvcC"):
            return found[0]
        item = next(iter(meta.inputs_of(item)), item)
    return b""


def _rebuild(meta: Meta, items: list[int], payloads: list[bytes]) -> bytes:
    """A new file with these items alone; the decoder meets no other byte of the stranger's."""
    ftyp = box(b"ftyp", b"heic", b"\0\0\0\0", b"mif1", b"heic")
    hdlr = full_box(b"hdlr", 0, 0, b"\0\0\0\0pict", bytes(13))
    pitm = full_box(b"pitm", 1, 0, meta.primary.to_bytes(4, "big"))
    entries = [full_box(b"infe", 3, 0, item.to_bytes(4, "big"), b"\0\0", meta.kinds[item], b"\0") for item in items]
    iinf = full_box(b"iinf", 1, 0, len(items).to_bytes(4, "big"), *entries)
    head = [hdlr, pitm, iinf, _kept_references(meta, items), _kept_properties(meta, items)]
    before_payload = len(ftyp) + _META_HEADER_BYTES + sum(map(len, head)) + len(_locations(items, payloads, 0)) + 8
    meta_box = full_box(b"meta", 0, 0, *head, _locations(items, payloads, before_payload))
    return b"".join([ftyp, meta_box, box(b"mdat", *payloads)])


def _locations(items: list[int], payloads: list[bytes], at: int) -> bytes:
    """An iloc box for payloads that follow one another from `at` on."""
    parts = [b"\x44\x00", len(items).to_bytes(4, "big")]  # offsets and lengths of 4 bytes, no base, no index
    for item, payload in zip(items, payloads, strict=True):
        parts += [item.to_bytes(4, "big"), b"\0\0\0\0\0\x01", at.to_bytes(4, "big"), len(payload).to_bytes(4, "big")]
        at += len(payload)
    return full_box(b"iloc", 2, 0, *parts)


def _kept_references(meta: Meta, items: list[int]) -> bytes:
    kept = [
        box(kind, source.to_bytes(4, "big"), len(targets).to_bytes(2, "big"), *(t.to_bytes(4, "big") for t in targets))
        for kind, source, targets in meta.references
        if kind in {b"dimg", b"auxl", b"prem"} and source in items and all(target in items for target in targets)
    ]
    return full_box(b"iref", 1, 0, *kept) if kept else b""


def _kept_properties(meta: Meta, items: list[int]) -> bytes:
    """ipco with the properties in use, each once, and ipma with the items' associations in their order."""
    new_index: dict[int, int] = {}
    associations = []
    for item in items:
        entries = []
        for essential, index, prop in meta.properties_of(item):
            if prop.kind not in _KEPT_PROPERTIES:
                if essential:
                    raise InvalidImage
                continue
            if prop.kind == b"colr" and prop.body[:4] != b"nclx":
                continue  # profiles are applied by ourselves
            number = new_index.setdefault(index, len(new_index) + 1)
            entries.append((number | (0x8000 if essential else 0)).to_bytes(2, "big"))
        if len(entries) > 255:
            raise InvalidImage
        associations.append(b"".join([item.to_bytes(4, "big"), bytes([len(entries)]), *entries]))
    container = box(b"ipco", *(box(meta.properties[i - 1].kind, meta.properties[i - 1].body) for i in new_index))
    return box(b"iprp", container, full_box(b"ipma", 1, 1, len(items).to_bytes(4, "big"), *associations))


def decode_heif(photo: ScannedHeif) -> Picture:
    """Raises: InvalidImage."""
    picture = None if _has_to_be_rgb(photo) else _planes(photo)
    return picture or _by_pillow_heif(photo)


def _has_to_be_rgb(photo: ScannedHeif) -> bool:
    """Pairs for chroma would not begin at the border; or 8 bits are too few for the colors."""
    is_odd = photo.stored_size.width % 2 or photo.stored_size.height % 2
    return bool(is_odd) or photo.is_cut or photo.is_steep


def _planes(photo: ScannedHeif) -> Picture | None:
    found = libheif.decode(photo.stream, _THREADS)
    if found is None:
        return None
    planes = tuple(_in_8_bits(found, number) for number in range(len(found.planes)))
    colors = Colors.GRAY if len(planes) == 1 else Colors.COLOR
    return _checked(photo, Picture(planes, colors, found.chroma_step, is_full_range=found.is_full_range))


def _in_8_bits(found: libheif.HeifPlanes, number: int) -> Pixels:
    """H.273, 8.3: levels are stretched, or in studio range multiplied, around black or around no color."""
    samples, depth = found.planes[number], found.depth
    if depth == 8:
        return samples
    factor = 255 / ((1 << depth) - 1) if found.is_full_range else 1 / (1 << depth - 8)
    origin, becomes = (1 << depth - 1, NEUTRAL) if number else (0, 0)
    levels: Pixels = cv2.convertScaleAbs(samples, alpha=factor, beta=becomes - factor * origin)
    return levels


def _by_pillow_heif(photo: ScannedHeif) -> Picture:
    try:
        image = pillow_heif.open_heif(photo.stream, convert_hdr_to_8bit=False, hdr_to_16bit=False)
        samples = np.asarray(image)
    except (OSError, ValueError, SyntaxError, RuntimeError, EOFError, IndexError) as error:
        raise InvalidImage from error
    depth = int(image.mode.partition(";")[2] or 8)
    is_premultiplied = image.premultiplied_alpha
    samples = samples[:, : image.size[0]]
    return _checked(photo, picture_of_samples(samples, depth, photo.color_tag, is_premultiplied=is_premultiplied))


def _checked(photo: ScannedHeif, picture: Picture) -> Picture:
    if picture.size != photo.upright_size:
        raise InvalidImage
    return picture
