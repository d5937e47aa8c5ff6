"""A marker parser that shares nothing with the code under test: what is in an output JPEG, in order."""

import struct
from dataclasses import dataclass

SOI, EOI, SOS = 0xD8, 0xD9, 0xDA


@dataclass(frozen=True)
class Segment:
    marker: int
    body: bytes


def segments(jpeg: bytes) -> list[Segment]:
    """Every marker from SOI to EOI. Raises: AssertionError when anything stands before, between or behind them."""
    assert jpeg[:2] == b"\xff\xd8"
    found, at = [Segment(SOI, b"")], 2
    while True:
        assert jpeg[at] == 0xFF, f"no marker at {at}"
        marker = jpeg[at + 1]
        if marker == EOI:
            found.append(Segment(EOI, b""))
            assert at + 2 == len(jpeg), "bytes behind the end"
            return found
        (length,) = struct.unpack_from(">H", jpeg, at + 2)
        found.append(Segment(marker, jpeg[at + 4 : at + 2 + length]))
        at += 2 + length
        if marker == SOS:
            while not (jpeg[at] == 0xFF and jpeg[at + 1] not in {0, *range(0xD0, 0xD8)}):
                at += 1


def assert_keeps_the_output_promise(jpeg: bytes) -> tuple[int, int]:
    """Baseline, 8 bit, three components, no application or comment segment. Returns: width and height."""
    found = segments(jpeg)
    markers = [segment.marker for segment in found]
    assert set(markers) <= {SOI, 0xDB, 0xC0, 0xC4, SOS, EOI}, [hex(marker) for marker in markers]
    assert markers.count(0xC0) == 1
    assert markers.count(SOS) == 1
    (frame,) = [segment.body for segment in found if segment.marker == 0xC0]
    precision, height, width, components = struct.unpack_from(">BHHB", frame)
    assert (precision, components) == (8, 3)
    return width, height
