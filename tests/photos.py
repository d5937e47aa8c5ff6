"""Photos made on the fly: every family, every odd thing that phones, editors and attackers do to them."""

import io
import struct
import zlib
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
import pillow_heif
from PIL import Image
from skimage import data as pictures

pillow_heif.register_heif_opener(thumbnails=False)

SECRET = b"SECRET-MARK"
Array = npt.NDArray[Any]


# ---- pictures ----


@cache
def _astronaut() -> npt.NDArray[np.uint8]:
    array: npt.NDArray[np.uint8] = pictures.astronaut()
    return array


def astronaut(width: int = 400, height: int = 500) -> Image.Image:
    """Eileen Collins (NASA, public domain), scaled to any size."""
    return Image.fromarray(_astronaut()).resize((width, height), Image.Resampling.BICUBIC)


def color_chart(patch: int = 8) -> Image.Image:
    """7 x 7 x 7 colors in flat squares of `patch` pixels: what a color conversion is judged by."""
    levels = np.linspace(0, 255, 7).round().astype(np.uint8)
    colors = np.stack(np.meshgrid(levels, levels, levels, indexing="ij"), axis=-1).reshape(7, 49, 3)
    return Image.fromarray(np.kron(colors, np.ones((patch, patch, 1), np.uint8)))


def corners(width: int = 96, height: int = 128) -> npt.NDArray[np.uint8]:
    """Another color in each quarter and a gradient over all: no turn or mirror image of it looks the same."""
    y, x = np.mgrid[0:height, 0:width]
    picture = np.empty((height, width, 3), np.uint8)
    picture[...] = np.where((x < width // 2)[..., None], (180, 60, 50), (60, 150, 90))
    picture[height // 2 :, : width // 2] = (60, 80, 170)
    picture[height // 2 :, width // 2 :] = (200, 170, 80)
    picture[..., 1] = (picture[..., 1] * (0.7 + 0.3 * y / height)).astype(np.uint8)
    return picture


def stored_for(upright: Array, orientation: int) -> Array:
    """The pixels to store so that a viewer who honours the orientation shows `upright`. EXIF 2.32, 4.6.5.1.6."""
    inverse = {
        1: lambda a: a,
        2: lambda a: a[:, ::-1],
        3: lambda a: a[::-1, ::-1],
        4: lambda a: a[::-1],
        5: lambda a: a.transpose(1, 0, 2),
        6: lambda a: np.rot90(a, 1),
        7: lambda a: a.transpose(1, 0, 2)[::-1, ::-1],
        8: lambda a: np.rot90(a, -1),
    }
    return np.ascontiguousarray(inverse[orientation](upright))


def encoded(image: Image.Image | Array, family: str, **options: Any) -> bytes:
    """As Pillow writes it."""
    out = io.BytesIO()
    image = Image.fromarray(image) if isinstance(image, np.ndarray) else image
    image.save(out, family, **options)
    return out.getvalue()


# ---- EXIF ----


def exif(orientation: int, *, secret: bool = False, order: str = "<") -> bytes:
    """A TIFF block with an orientation and, if wanted, a description that must never come back."""
    entries = [struct.pack(order + "HHIHH", 0x112, 3, 1, orientation, 0)]
    if secret:
        text_at = 8 + 2 + 2 * 12 + 4
        entries.insert(0, struct.pack(order + "HHII", 0x10E, 2, len(SECRET), text_at))
    directory = struct.pack(order + "H", len(entries)) + b"".join(entries) + bytes(4)
    start = (b"II" if order == "<" else b"MM") + struct.pack(order + "HI", 42, 8)
    return start + directory + (SECRET if secret else b"")


# ---- JPEG ----


def jpeg(image: Image.Image | Array | None = None, **options: Any) -> bytes:
    return encoded(astronaut() if image is None else image, "JPEG", **{"quality": 95, "subsampling": 0, **options})


def segment(marker: int, payload: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(payload) + 2) + payload


def with_segments(photo: bytes, *segments: bytes) -> bytes:
    """Inserted behind the JFIF header."""
    at = 4 + struct.unpack(">H", photo[4:6])[0] if photo[2:4] == b"\xff\xe0" else 2
    return photo[:at] + b"".join(segments) + photo[at:]


def exif_segment(orientation: int, **options: Any) -> bytes:
    return segment(0xE1, b"Exif\0\0" + exif(orientation, **options))


def icc_segments(profile: bytes, chunk: int = 65_000) -> list[bytes]:
    parts = [profile[at : at + chunk] for at in range(0, len(profile), chunk)]
    return [segment(0xE2, b"ICC_PROFILE\0" + bytes([n, len(parts)]) + p) for n, p in enumerate(parts, 1)]


def scan_offsets(photo: bytes) -> list[int]:
    """Where the SOS markers of a JPEG are."""
    found, at = [], 0
    while (at := photo.find(b"\xff\xda", at)) >= 0:
        found.append(at)
        at += 2
    return found


# ---- PNG ----

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"


def chunk(kind: bytes, body: bytes, *, checksum: int | None = None) -> bytes:
    checksum = zlib.crc32(kind + body) if checksum is None else checksum
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", checksum)


def with_chunks(png: bytes, *chunks: bytes) -> bytes:
    """Inserted behind IHDR."""
    return png[:33] + b"".join(chunks) + png[33:]


def raw_png(width: int, height: int, depth: int, color: int, rows: bytes, *before: bytes, interlace: int = 0) -> bytes:
    """A PNG of rows that are already filtered; `before` are chunks that stand before the pixels."""
    head = struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, interlace)
    pixels = chunk(b"IDAT", zlib.compress(rows))
    return b"".join([PNG_SIGNATURE, chunk(b"IHDR", head), *before, pixels, chunk(b"IEND", b"")])


def png_16(samples: npt.NDArray[np.uint16], color: int, *before: bytes) -> bytes:
    """16-bit samples, height x width x channels, filter none."""
    height, width = samples.shape[:2]
    lines = samples.reshape(height, -1).astype(">u2")
    return raw_png(width, height, 16, color, b"".join(b"\0" + line.tobytes() for line in lines), *before)


# ---- WebP ----


def riff_chunk(kind: bytes, body: bytes) -> bytes:
    return kind + struct.pack("<I", len(body)) + body + b"\0" * (len(body) & 1)


def riff(*chunks: bytes) -> bytes:
    body = b"WEBP" + b"".join(chunks)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def vp8x(width: int, height: int, flags: int = 0) -> bytes:
    size = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    return riff_chunk(b"VP8X", bytes([flags, 0, 0, 0]) + size)


def webp_with(photo: bytes, size: tuple[int, int], *chunks: bytes, flags: int = 0x08) -> bytes:
    """A simple WebP made extended, with more chunks behind its pixels."""
    return riff(vp8x(*size, flags), photo[12:], *chunks)


def flat_webp(width: int, height: int) -> bytes:
    """One color in about 30 bytes, whatever the size: each Huffman code has a single symbol. RFC 9649, 3.7."""
    stream = [(0x2F, 8), (width - 1, 14), (height - 1, 14), (0, 1), (0, 3), (0, 3)]
    for symbol in (120, 140, 90, 255):
        stream += [(1, 1), (0, 1), (1, 1), (symbol, 8)]
    stream += [(1, 1), (0, 3)]
    value = shift = 0
    for number, bits in stream:
        value |= number << shift
        shift += bits
    return riff(riff_chunk(b"VP8L", value.to_bytes((shift + 7) // 8, "little")))


# ---- HEIF ----


def heic(image: Image.Image | Array | None = None, **options: Any) -> bytes:
    """As libheif and x265 write it."""
    options = {"quality": 95, "chroma": 444, "enc_params": {"preset": "ultrafast"}, **options}
    return encoded(astronaut() if image is None else image, "HEIF", **options)


def deep_heic(samples: Array, depth: int, **options: Any) -> bytes:
    """10 or 12 bits out of 16-bit samples."""
    pillow_heif.options.SAVE_HDR_TO_12_BIT = depth == 12
    height, width = samples.shape[:2]
    mode = "RGB;16" if samples.ndim == 3 else "L;16"
    if depth == 8:
        mode, samples = "L", (samples >> 8).astype(np.uint8)
    out = io.BytesIO()
    options = {"quality": -1, "chroma": 444, **options}
    pillow_heif.encode(mode, (width, height), np.ascontiguousarray(samples).tobytes(), out, **options)
    return out.getvalue()


def box(kind: bytes, *parts: bytes) -> bytes:
    body = b"".join(parts)
    return struct.pack(">I4s", 8 + len(body), kind) + body


def full_box(kind: bytes, version: int, *parts: bytes, flags: int = 0) -> bytes:
    return box(kind, struct.pack(">I", version << 24 | flags), *parts)


def ispe(width: int, height: int) -> bytes:
    return full_box(b"ispe", 0, struct.pack(">II", width, height))


def irot(quarter_turns_left: int) -> bytes:
    return box(b"irot", bytes([quarter_turns_left]))


def imir(axis: int) -> bytes:
    """Axis 0 exchanges top and bottom, axis 1 left and right. ISO 23008-12:2022, 6.5.12."""
    return box(b"imir", bytes([axis]))


def nclx(primaries: int, transfer: int, matrix: int = 6) -> bytes:
    return box(b"colr", b"nclx", struct.pack(">HHHB", primaries, transfer, matrix, 0x80))


class HeifItem:
    """One item of a HEIF file: its kind, its bytes, the properties that belong to it."""

    def __init__(self, kind: bytes, payload: bytes, *properties: bytes, hidden: bool = False) -> None:
        self.kind, self.payload, self.properties, self.hidden = kind, payload, properties, hidden


def coded_item(image: Image.Image | Array, *properties: bytes, **options: Any) -> HeifItem:
    """A picture as an item: the stream out of a file of libheif's."""
    photo = heic(image, **options)
    at = photo.index(b"hvcC") - 4
    hvcc = photo[at : at + int.from_bytes(photo[at : at + 4], "big")]
    mdat = photo.index(b"mdat")
    height, width = np.asarray(image).shape[:2]
    return HeifItem(b"hvc1", photo[mdat + 4 :], hvcc, ispe(width, height), *properties)


def heif(
    items: Sequence[HeifItem],
    *,
    primary: int = 1,
    references: Sequence[tuple[bytes, int, Sequence[int]]] = (),
    brand: bytes = b"heic",
) -> bytes:
    """A file of these items; their ids count from 1; references are (kind, from, to)."""
    entries = [
        full_box(b"infe", 2, struct.pack(">HH4s", number, 0, item.kind), b"\0", flags=int(item.hidden))
        for number, item in enumerate(items, 1)
    ]
    iinf = full_box(b"iinf", 0, struct.pack(">H", len(items)), *entries)
    properties, owned = [], []
    for number, item in enumerate(items, 1):
        indices = []
        for prop in item.properties:
            properties.append(prop)
            is_essential = prop[4:8] in {b"hvcC", b"irot", b"imir", b"clap"}
            indices.append(struct.pack(">H", len(properties) | (0x8000 if is_essential else 0)))
        owned.append(struct.pack(">HB", number, len(indices)) + b"".join(indices))
    ipma = full_box(b"ipma", 0, struct.pack(">I", len(owned)), *owned, flags=1)
    iprp = box(b"iprp", box(b"ipco", *properties), ipma)
    refs = [box(kind, struct.pack(f">HH{len(to)}H", of, len(to), *to)) for kind, of, to in references]
    iref = full_box(b"iref", 0, *refs) if refs else b""
    hdlr = full_box(b"hdlr", 0, bytes(4), b"pict", bytes(13))
    pitm = full_box(b"pitm", 0, struct.pack(">H", primary))
    ftyp = box(b"ftyp", brand, bytes(4), b"mif1", brand)

    def meta(at: int) -> bytes:
        extents = []
        for number, item in enumerate(items, 1):
            extents.append(struct.pack(">HHHII", number, 0, 1, at, len(item.payload)))
            at += len(item.payload)
        iloc = full_box(b"iloc", 0, b"\x44\x00", struct.pack(">H", len(items)), *extents)
        return full_box(b"meta", 0, hdlr, pitm, iinf, iref, iprp, iloc)

    start = len(ftyp) + len(meta(0)) + 8
    return ftyp + meta(start) + box(b"mdat", *(item.payload for item in items))


def tiled_heic(
    image: Image.Image, tile: int = 128, *properties: bytes, extra: Sequence[HeifItem] = (), **options: Any
) -> bytes:
    """A grid of tiles, as iPhones write it. The primary picture is the last item but for `extra`."""
    width, height = image.size
    columns, rows = -(-width // tile), -(-height // tile)
    tiles = []
    for row in range(rows):
        for column in range(columns):
            part = image.crop((column * tile, row * tile, (column + 1) * tile, (row + 1) * tile))
            item = coded_item(part, **options)
            item.hidden = True
            tiles.append(item)
    layout = struct.pack(">BBBBHH", 0, 0, rows - 1, columns - 1, width, height)
    grid = HeifItem(b"grid", layout, ispe(width, height), *properties)
    number = len(tiles) + 1
    inputs = [(b"dimg", number, list(range(1, number)))]
    return heif([*tiles, grid, *extra], primary=number, references=inputs)


# ---- ICC profiles ----


def fixed(value: float) -> bytes:
    return struct.pack(">i", round(value * 65536))


def curve_gamma(gamma: float) -> bytes:
    return b"curv" + bytes(4) + struct.pack(">IH", 1, round(gamma * 256)) + bytes(2)


def curve_parametric(kind: int, *values: float) -> bytes:
    return b"para" + bytes(4) + struct.pack(">HH", kind, 0) + b"".join(map(fixed, values))


def curve_table(linear: Array) -> bytes:
    points: bytes = np.rint(linear * 65535).astype(">u2").tobytes()
    return b"curv" + bytes(4) + struct.pack(">I", len(linear)) + points


SRGB_CURVE = curve_parametric(3, 2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)


def profile_of(tags: dict[bytes, bytes], *, space: bytes = b"RGB ", version: int = 0x04200000) -> bytes:
    """A display profile with these tags."""
    at = 128 + 4 + 12 * len(tags)
    table, body = struct.pack(">I", len(tags)), b""
    for kind, content in tags.items():
        table += kind + struct.pack(">II", at + len(body), len(content))
        body += content + bytes(-len(content) % 4)
    total = at + len(body)
    head = struct.pack(">I4sI", total, bytes(4), version) + b"mntr" + space + b"XYZ " + bytes(12) + b"acsp" + bytes(28)
    return head + fixed(0.9642) + fixed(1.0) + fixed(0.8249) + bytes(48) + table + body


def matrix_profile(primaries: Array, curve: bytes, version: int = 0x04200000) -> bytes:
    """`primaries`: XYZ at D50 of red, green and blue, one a column."""

    def xyz(values: Array) -> bytes:
        return b"XYZ " + bytes(4) + b"".join(fixed(float(v)) for v in values)

    text = b"mluc" + bytes(4) + struct.pack(">II2s2sII", 1, 12, b"en", b"US", 2, 28) + b"\0x"
    tags = {b"desc": text, b"cprt": text, b"wtpt": xyz(np.array([0.9642, 1.0, 0.8249]))}
    tags |= {kind: xyz(primaries[:, n]) for n, kind in enumerate((b"rXYZ", b"gXYZ", b"bXYZ"))}
    tags |= dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), curve)
    return profile_of(tags, version=version)
