"""The box structure of HEIF files, and their meta box: which items there are, where, and what belongs to them.

Every length and every count is checked.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from domain.errors import InvalidImage

_MAX_BOXES: Final = 4096  # in one container; an iPhone's property container has under 100
_KNOWN_TOP_LEVEL: Final = frozenset({b"ftyp", b"meta", b"mdat", b"moov", b"free", b"skip", b"uuid", b"wide", b"mpvd"})
_ALPHA_KINDS: Final = (b"urn:mpeg:hevc:2015:auxid:1\0", b"urn:mpeg:mpegB:cicp:systems:auxiliary:alpha\0")
_MAX_ITEMS: Final = 1000  # libheif's own default limit; iPhones have 40 to 60, 48-megapixel ones about 220


@dataclass(frozen=True, slots=True)
class Box:
    """One box: its four-letter kind and what is in it."""

    kind: bytes
    body: bytes


def _read_boxes(data: bytes) -> list[Box]:
    """The boxes that fill `data` exactly. Source: ISO 14496-12, 4.2. Raises: InvalidImage when one overruns."""
    boxes: list[Box] = []
    at = 0
    while at < len(data):
        start, end = _box_extent(data, at)
        if end > len(data) or len(boxes) >= _MAX_BOXES:
            raise InvalidImage
        boxes.append(Box(data[at + 4 : at + 8], data[start:end]))
        at = end
    return boxes


def _box_extent(data: bytes, at: int) -> tuple[int, int]:
    """Where the body of the box at `at` starts and where it ends; a size of 0 reaches to the end of the file."""
    if at + 8 > len(data):
        raise InvalidImage
    (size,) = struct.unpack_from(">I", data, at)
    start = at + 8
    if size == 1:
        if at + 16 > len(data):
            raise InvalidImage
        (size,) = struct.unpack_from(">Q", data, at + 8)
        start = at + 16
    end = at + size if size else len(data)
    if end < start:
        raise InvalidImage
    return start, end


def box(kind: bytes, *parts: bytes) -> bytes:
    """A box with this body."""
    body = b"".join(parts)
    return struct.pack(">I", 8 + len(body)) + kind + body


def full_box(kind: bytes, version: int, flags: int, *parts: bytes) -> bytes:
    """A box that begins with version and flags."""
    return box(kind, bytes([version]), flags.to_bytes(3, "big"), *parts)


class Fields:
    """Reads big-endian numbers off a body one after another. Raises: InvalidImage at the end of the body."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def number(self, size_bytes: int) -> int:
        return int.from_bytes(self.take(size_bytes), "big")

    def take(self, count: int) -> bytes:
        end = self._at + count
        if end > len(self._data):
            raise InvalidImage
        taken = self._data[self._at : end]
        self._at = end
        return taken

    def rest(self) -> bytes:
        return self._data[self._at :]


@dataclass(frozen=True, slots=True)
class Location:
    """Where an item's bytes are: (offset, length) pairs in the file, or in the meta box's own idat."""

    in_idat: bool
    extents: tuple[tuple[int, int], ...]


@dataclass(slots=True)
class Meta:
    """The meta box, read."""

    primary: int = 0
    kinds: dict[int, bytes] = field(default_factory=dict)
    locations: dict[int, Location] = field(default_factory=dict)
    references: list[tuple[bytes, int, tuple[int, ...]]] = field(default_factory=list)
    properties: list[Box] = field(default_factory=list)
    associations: dict[int, tuple[tuple[bool, int], ...]] = field(default_factory=dict)
    idat: bytes = b""

    def properties_of(self, item: int) -> Iterator[tuple[bool, int, Box]]:
        """(essential, index, property) in the order in which the file applies them."""
        for essential, index in self.associations.get(item, ()):
            if index == 0:
                continue
            if index > len(self.properties):
                raise InvalidImage
            yield essential, index, self.properties[index - 1]

    def bodies(self, item: int, kind: bytes) -> list[bytes]:
        """Of its properties of a kind."""
        return [prop.body for _, _, prop in self.properties_of(item) if prop.kind == kind]

    def inputs_of(self, item: int) -> tuple[int, ...]:
        return next((to for kind, of, to in self.references if kind == b"dimg" and of == item), ())

    def alpha_of(self, item: int) -> list[int]:
        """The auxiliary pictures that hold this picture's transparency."""
        planes = (of for kind, of, to in self.references if kind == b"auxl" and item in to)
        return [plane for plane in planes if any(b[4:].startswith(_ALPHA_KINDS) for b in self.bodies(plane, b"auxC"))]


def _meta_body(photo: bytes) -> bytes:
    """The body of the meta box, after every top-level box was found to end inside the file."""
    at, meta = 0, None
    for _ in range(_MAX_ITEMS):
        if at + 8 > len(photo):
            break
        kind = photo[at + 4 : at + 8]
        if kind not in _KNOWN_TOP_LEVEL and meta is not None:
            break  # a box of a phone maker's or trailing garbage: the extents say whether anything is missing
        start, end = _box_extent(photo, at)
        if end > len(photo):
            raise InvalidImage
        if kind == b"meta" and meta is None:
            meta = photo[start:end]
        at = end
    if meta is None:
        raise InvalidImage
    return meta


def read_meta(photo: bytes) -> Meta:
    """Source: ISO 14496-12, 8.11. Raises: InvalidImage."""
    body, meta = _meta_body(photo), Meta()
    readers = {b"pitm": _read_primary, b"iinf": _read_items, b"iloc": _read_locations, b"iref": _read_references,
               b"iprp": _read_properties}  # fmt: skip
    for part in _read_boxes(body[4:]):
        if part.kind == b"idat":
            meta.idat = part.body
        elif part.kind in readers:
            readers[part.kind](meta, part.body)
    return meta


def _read_primary(meta: Meta, body: bytes) -> None:
    fields = Fields(body)
    version = fields.number(4) >> 24
    meta.primary = fields.number(2 if version == 0 else 4)


def _read_items(meta: Meta, body: bytes) -> None:
    fields = Fields(body)
    version = fields.number(4) >> 24
    fields.number(2 if version == 0 else 4)
    for entry in _read_boxes(fields.rest()):
        if entry.kind != b"infe":
            continue
        infe = Fields(entry.body)
        version = infe.number(4) >> 24
        if version < 2:
            continue
        item = infe.number(2 if version == 2 else 4)
        infe.number(2)
        meta.kinds[item] = infe.take(4)
        if len(meta.kinds) > _MAX_ITEMS:
            raise InvalidImage


def _read_locations(meta: Meta, body: bytes) -> None:
    """ISO 14496-12, 8.11.3."""
    fields = Fields(body)
    version = fields.number(4) >> 24
    sizes = fields.number(2)
    offset_size, length_size, base_size, index_size = sizes >> 12, sizes >> 8 & 15, sizes >> 4 & 15, sizes & 15
    for _ in range(_count(fields, 2 if version < 2 else 4)):
        item = fields.number(2 if version < 2 else 4)
        method = fields.number(2) & 15 if version else 0
        fields.number(2)
        base = fields.number(base_size)
        extents = []
        for _ in range(_count(fields, 2)):
            if version:
                fields.number(index_size)
            start = base + fields.number(offset_size)
            extents.append((start, fields.number(length_size)))
        if method <= 1:
            meta.locations[item] = Location(method == 1, tuple(extents))


def _read_references(meta: Meta, body: bytes) -> None:
    fields = Fields(body)
    id_size = 2 if fields.number(4) >> 24 == 0 else 4
    for reference in _read_boxes(fields.rest()):
        inner = Fields(reference.body)
        source = inner.number(id_size)
        targets = tuple(inner.number(id_size) for _ in range(_count(inner, 2)))
        meta.references.append((reference.kind, source, targets))


def _read_properties(meta: Meta, body: bytes) -> None:
    for part in _read_boxes(body):
        if part.kind == b"ipco":
            meta.properties = _read_boxes(part.body)
        elif part.kind == b"ipma":
            _read_associations(meta, part.body)


def _read_associations(meta: Meta, body: bytes) -> None:
    fields = Fields(body)
    head = fields.number(4)
    version, wide = head >> 24, head & 1
    for _ in range(_count(fields, 4)):
        item = fields.number(2 if version == 0 else 4)
        entries = [fields.number(2 if wide else 1) for _ in range(fields.number(1))]
        top = 0x8000 if wide else 0x80
        meta.associations[item] = tuple((bool(entry & top), entry & (top - 1)) for entry in entries)


def _count(fields: Fields, size_bytes: int) -> int:
    count = fields.number(size_bytes)
    if count > _MAX_ITEMS:
        raise InvalidImage
    return count
