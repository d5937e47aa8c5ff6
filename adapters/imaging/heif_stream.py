"""Colors that only the HEVC bit stream names: the video usability information of its sequence parameter set."""

from dataclasses import dataclass
from typing import Final

from adapters.imaging.heif_boxes import Fields
from domain.errors import InvalidImage

_SEQUENCE_PARAMETERS: Final = 33  # a kind of NAL unit, H.265, table 7-1
_MOST_BYTES: Final = 4096  # the largest set with all of its scaling lists has half of it; cameras write 60
_MOST_PICTURE_SETS: Final = 64  # H.265, 7.4.3.2.1
_EXTENDED_ASPECT: Final = 255


@dataclass(frozen=True, slots=True)
class CodePoints:
    """ITU-T H.273: primaries, transfer and matrix by number, and the range."""

    primaries: int
    transfer: int
    matrix: int
    is_full_range: bool


def code_points_of(configuration: bytes) -> CodePoints | None:
    """What the parameter sets of an hvcC box say of colors; None when they say nothing or cannot be read.

    Source: ISO 14496-15, 8.3.3.1; H.265, 7.3.2.2 and E.2.1.
    """
    try:
        parameters = _sequence_parameters(Fields(configuration))
        return None if parameters is None else _read(_Bits(parameters))
    except InvalidImage:  # the decoder says whether the picture can be read
        return None


def _sequence_parameters(fields: Fields) -> bytes | None:
    fields.take(22)
    for _ in range(fields.number(1)):
        kind = fields.number(1) & 63
        for _ in range(fields.number(2)):
            unit = fields.take(fields.number(2))
            if kind == _SEQUENCE_PARAMETERS and len(unit) <= _MOST_BYTES:
                return unit.replace(b"\0\0\3", b"\0\0")  # H.265, 7.3.1.1
    return None


class _Bits:
    """Reads numbers off a bit string. Raises: InvalidImage at its end."""

    def __init__(self, data: bytes) -> None:
        self._bits = f"{int.from_bytes(data, 'big'):0{8 * len(data)}b}"
        self._at = 0

    def number(self, count: int) -> int:
        end = self._at + count
        if end > len(self._bits):
            raise InvalidImage
        taken, self._at = self._bits[self._at : end], end
        return int(taken or "0", 2)

    def flag(self) -> bool:
        return bool(self.number(1))

    def skip(self, count: int) -> None:
        self._at += count

    def golomb(self) -> int:
        """An unsigned number of variable length (H.265, 9.2)."""
        one = self._bits.find("1", self._at)
        if one < 0:
            raise InvalidImage
        zeros, self._at = one - self._at, one
        return self.number(zeros + 1) - 1

    def skip_golombs(self, count: int) -> None:
        for _ in range(count):
            self.golomb()


def _read(bits: _Bits) -> CodePoints | None:
    bits.skip(16 + 4)  # the head of the unit, the number of the video parameter set
    layers = bits.number(3)
    bits.skip(1)
    _skip_profile(bits, layers)
    bits.golomb()
    if bits.golomb() == 3:  # 4:4:4
        bits.skip(1)
    bits.skip_golombs(2)  # width and height
    bits.skip_golombs(4 if bits.flag() else 0)  # the window of them that counts
    bits.skip_golombs(2)  # depths
    count_bits = bits.golomb() + 4
    bits.skip_golombs(3 * (layers + 1 if bits.flag() else 1))
    bits.skip_golombs(6)  # sizes of blocks
    if bits.flag() and bits.flag():
        _skip_scaling_lists(bits)
    bits.skip(2)
    if bits.flag():  # samples without compression
        bits.skip(8)
        bits.skip_golombs(2)
        bits.skip(1)
    _skip_picture_sets(bits)
    if bits.flag():  # long-term reference pictures
        bits.skip(bits.golomb() * (count_bits + 1))
    bits.skip(2)
    return _usability(bits) if bits.flag() else None


def _skip_profile(bits: _Bits, layers: int) -> None:
    """H.265, 7.3.3."""
    bits.skip(88 + 8)
    said = [(bits.flag(), bits.flag()) for _ in range(layers)]
    if layers:
        bits.skip(2 * (8 - layers))
    for has_profile, has_level in said:
        bits.skip(88 * has_profile + 8 * has_level)


def _skip_scaling_lists(bits: _Bits) -> None:
    """H.265, 7.3.4."""
    for size in range(4):
        for _ in range(2 if size == 3 else 6):
            is_written_out = bits.flag()
            bits.skip_golombs((size > 1) + min(64, 16 << 2 * size) if is_written_out else 1)


def _skip_picture_sets(bits: _Bits) -> None:
    """Short-term reference pictures: H.265, 7.3.7."""
    count, pictures = bits.golomb(), 0
    if count > _MOST_PICTURE_SETS:
        raise InvalidImage
    for number in range(count):
        if number and bits.flag():  # by those of the set before
            bits.skip(1)
            bits.golomb()
            pictures = sum(bits.flag() or bits.flag() for _ in range(pictures + 1))
            continue
        pictures = bits.golomb() + bits.golomb()
        for _ in range(pictures):
            bits.golomb()
            bits.skip(1)


def _usability(bits: _Bits) -> CodePoints | None:
    """H.265, E.2.1, as far as the colors."""
    if bits.flag() and bits.number(8) == _EXTENDED_ASPECT:
        bits.skip(32)
    if bits.flag():  # overscan
        bits.skip(1)
    if not bits.flag():
        return None
    bits.skip(3)
    is_full_range = bits.flag()
    primaries, transfer, matrix = (bits.number(8) for _ in range(3)) if bits.flag() else (2, 2, 2)
    return CodePoints(primaries, transfer, matrix, is_full_range)
