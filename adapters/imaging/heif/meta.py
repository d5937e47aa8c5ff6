"""The meta box of HEIF files, read with every count bounded: which items there are, where, and what belongs to them."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from adapters.imaging.heif.boxes import Box, Fields, box_extent, read_boxes
from domain.errors import InvalidImage

_KNOWN_TOP_LEVEL: Final = frozenset({b"ftyp", b"meta", b"mdat", b"moov", b"free", b"skip", b"uuid", b"wide", b"mpvd"})
_ALPHA_KINDS: Final = (b"urn:mpeg:hevc:2015:auxid:1\0", b"urn:mpeg:mpegB:cicp:systems:auxiliary:alpha\0")
_MAX_ITEMS: Final = 1000  # libheif's own default limit; iPhones have 40 to 60, 48-megapixel ones about 220


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

    def inputs_of(self, item: int) -> tuple[int, ...]:
        return next((to for kind, of, to in self.references if kind == b"dimg" and of == item), ())

    def alpha_of(self, item: int) -> list[int]:
        """The auxiliary pictures that hold this picture's transparency."""
        planes = (of for kind, of, to in self.references if kind == b"auxl" and item in to)
        return [plane for plane in planes if any(_is_alpha(prop) for _, _, prop in self.properties_of(plane))]


def _is_alpha(prop: Box) -> bool:
    return prop.kind == b"auxC" and prop.body[4:].startswith(_ALPHA_KINDS)


def _meta_body(photo: bytes) -> bytes:
    """The body of the meta box, after every top-level box was found to end inside the file."""
    at, meta = 0, None
    for _ in range(_MAX_ITEMS):
        if at + 8 > len(photo):
            break
        kind = photo[at + 4 : at + 8]
        if kind not in _KNOWN_TOP_LEVEL and meta is not None:
            break  # a box of a phone maker's or trailing garbage: the extents say whether anything is missing
        start, end = box_extent(photo, at)
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
    for part in read_boxes(body[4:]):
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
    for entry in read_boxes(fields.rest()):
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
    for reference in read_boxes(fields.rest()):
        inner = Fields(reference.body)
        source = inner.number(id_size)
        targets = tuple(inner.number(id_size) for _ in range(_count(inner, 2)))
        meta.references.append((reference.kind, source, targets))


def _read_properties(meta: Meta, body: bytes) -> None:
    for part in read_boxes(body):
        if part.kind == b"ipco":
            meta.properties = read_boxes(part.body)
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
