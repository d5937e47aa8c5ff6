"""A photo is kept the way its viewer saw it, whichever of the eight ways it was stored."""

from collections.abc import Callable

import pytest

from domain.geometry import Box
from tests import photos
from tests.imaging.encoding import Picture, difference, in_planes, looked_at, opened, shown

ALL_ORIENTATIONS = range(1, 9)
UPRIGHT = photos.corners()
WINDOW = Box(11, 23, 40, 50)

FAMILIES: dict[str, Callable[[Picture, int], bytes]] = {
    "jpeg": lambda stored, o: photos.with_segments(photos.jpeg(stored), photos.exif_segment(o)),
    "png": lambda stored, o: photos.with_chunks(
        photos.encoded(stored, "PNG"), photos.chunk(b"eXIf", photos.exif(o, order=">"))
    ),
    "webp": lambda stored, o: photos.webp_with(
        photos.encoded(stored, "WEBP", lossless=True),
        (stored.shape[1], stored.shape[0]),
        photos.riff_chunk(b"EXIF", photos.exif(o)),
    ),
}
# What an HEIF reader has to do one after the other, for each value of the EXIF tag. ISO 23008-12:2022, 6.5.10 and 12.
HEIF_STEPS: dict[int, list[bytes]] = {
    1: [],
    2: [photos.imir(1)],
    3: [photos.irot(2)],
    4: [photos.imir(0)],
    5: [photos.irot(3), photos.imir(1)],
    6: [photos.irot(3)],
    7: [photos.irot(1), photos.imir(1)],
    8: [photos.irot(1)],
}


@pytest.mark.parametrize("orientation", ALL_ORIENTATIONS)
@pytest.mark.parametrize("family", FAMILIES)
def test_every_exif_orientation_comes_out_upright_pixel_by_pixel(family: str, orientation: int) -> None:
    photo = FAMILIES[family](photos.stored_for(UPRIGHT, orientation), orientation)
    assert difference(looked_at(photo), in_planes(UPRIGHT)).mean() < 0.6
    assert difference(shown(photo), shown(photos.encoded(UPRIGHT, "PNG"))).mean() < 1.5


@pytest.mark.parametrize("orientation", ALL_ORIENTATIONS)
@pytest.mark.parametrize("family", FAMILIES)
def test_a_window_is_cut_from_the_upright_picture(family: str, orientation: int) -> None:
    photo = FAMILIES[family](photos.stored_for(UPRIGHT, orientation), orientation)
    expected = UPRIGHT[WINDOW.y : WINDOW.bottom, WINDOW.x : WINDOW.right]
    assert difference(looked_at(photo, WINDOW), in_planes(expected)).mean() < 1.2  # chroma is in between two samples


@pytest.mark.parametrize("orientation", ALL_ORIENTATIONS)
def test_irot_and_imir_turn_a_heic(orientation: int) -> None:
    item = photos.coded_item(photos.stored_for(UPRIGHT, orientation), *HEIF_STEPS[orientation])
    photo = photos.heif([item])
    assert difference(looked_at(photo), UPRIGHT).mean() < 2
    assert opened(photo).upright_size == Box.covering(opened(photo).upright_size).size
    assert (opened(photo).upright_size.width, opened(photo).upright_size.height) == (96, 128)


@pytest.mark.parametrize(
    ("steps", "exif"), [([], 6), ([photos.irot(3)], 6), ([photos.irot(3)], 1), ([photos.irot(3)], 8)]
)
def test_exif_never_turns_a_heic_whatever_its_container_says(steps: list[bytes], exif: int) -> None:
    stored = photos.stored_for(UPRIGHT, 6) if steps else UPRIGHT
    note = photos.HeifItem(b"Exif", bytes(4) + photos.exif(exif))
    photo = photos.heif([photos.coded_item(stored, *steps), note], references=[(b"cdsc", 2, [1])])
    assert difference(looked_at(photo), UPRIGHT).mean() < 2


@pytest.mark.parametrize("orientation", [0, 9, 255, 65535])
def test_an_orientation_that_does_not_exist_means_upright(orientation: int) -> None:
    photo = photos.with_segments(photos.jpeg(UPRIGHT), photos.exif_segment(orientation))
    assert difference(looked_at(photo), in_planes(UPRIGHT)).mean() < 0.6


@pytest.mark.parametrize(
    "block",
    [b"", b"II", b"XX" + bytes(30), b"II*\0\xff\xff\xff\xff", b"II*\0\x08\0\0\0\xff\xff", photos.exif(6)[:20]],
    ids=["empty", "two bytes", "no byte order", "directory outside", "directory cut", "entry cut"],
)
def test_broken_exif_is_as_good_as_none(block: bytes) -> None:
    photo = photos.with_segments(photos.jpeg(UPRIGHT), photos.segment(0xE1, b"Exif\0\0" + block))
    assert difference(looked_at(photo), in_planes(UPRIGHT)).mean() < 0.6
