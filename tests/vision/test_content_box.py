"""The place of the photo inside frames, bars and borders, on pictures whose borders the tests add themselves."""

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFilter, ImageOps

from adapters.imaging.photo_decoder import ImagingPhotoDecoder
from adapters.vision.content_box import content_in, look_at_content
from domain.geometry import Box, Size
from tests.framing_variations import as_jpeg
from tests.people import ASTRONAUT, as_png, scenery

PHOTO = ASTRONAUT.resize((480, 480))


def edges_of(image: Image.Image) -> Box:
    return content_in(np.asarray(image))[0]


def is_near(edges: Box, left: int, top: int, right: int, bottom: int) -> bool:
    found = (edges.x, edges.y, edges.right, edges.bottom)
    return all(abs(one - other) <= 3 for one, other in zip(found, (left, top, right, bottom), strict=True))


@pytest.mark.parametrize("color", ["white", "black", "#c81e3c", "#f5f0e6"])
@pytest.mark.parametrize("edge", [4, 25, 160])
def test_a_plain_frame_of_any_width_and_color_is_taken_off(edge: int, color: str) -> None:
    assert is_near(edges_of(ImageOps.expand(PHOTO, edge, color)), edge, edge, edge + 480, edge + 480)


@pytest.mark.parametrize("color", ["white", "black", "#c81e3c", "#808080", "#2a6f4f"])
@pytest.mark.parametrize("edge", [12, 37, 90, 301])
def test_a_frame_is_taken_off_to_the_pixel_also_from_a_jpeg(edge: int, color: str) -> None:
    photo = ASTRONAUT.resize((1111, 1111), Image.Resampling.LANCZOS)
    assert window_in(ImageOps.expand(photo, edge, color)) == Box(edge, edge, 1111, 1111)


@pytest.mark.parametrize("color", ["white", "black", "#c81e3c"])
@pytest.mark.parametrize("size", [(6, 9), (24, 30), (75, 60), (113, 200)])
@pytest.mark.parametrize("edge", [1, 2, 5, 12])
def test_a_thumbnail_in_a_frame_keeps_all_of_its_photo(edge: int, size: tuple[int, int], color: str) -> None:
    framed, photo = ImageOps.expand(ASTRONAUT.resize(size), edge, color), Box(edge, edge, *size)
    content = look_at_content(ImagingPhotoDecoder().open(as_png(framed)))[0].window
    assert content.shared_area(photo) == photo.area
    assert content.is_inside(Size(*framed.size))
    if edge == 12 and min(size) > 50:
        assert content.area < 1.1 * photo.area, "the frame is found"


@pytest.mark.parametrize("color", ["black", "#808080", "#e696aa"])
def test_what_a_frame_is_around_is_seen_as_it_is_without_one(color: str) -> None:
    story = PHOTO.resize((1080, 1920)).filter(ImageFilter.GaussianBlur(45))
    story.paste(PHOTO.resize((1080, 1080), Image.Resampling.LANCZOS), (0, 420))
    assert found_in(story) == (Box(0, 420, 1080, 1080), Box(0, 0, 1080, 1920))
    framed = ImageOps.expand(story, 80, color)
    assert found_in(framed) == (Box(80, 500, 1080, 1080), Box(80, 80, 1080, 1920)), "the frame is no blurred photo"


@pytest.mark.parametrize("share", [0.5, 0.6], ids=["narrow", "wide"])
def test_a_story_of_somebody_in_front_of_a_smooth_ground_ends_where_the_photo_does(share: float) -> None:
    """The ground and its blurred copy are alike: only where the person is cut, the two lines show."""
    shade = np.linspace((214, 206, 196), (150, 146, 140), 1080).astype(np.uint8)
    photo = Image.fromarray(np.broadcast_to(shade, (1080, 1080, 3)).copy())
    body = (round(1080 * share), 1300)
    mask = Image.new("L", body)
    ImageDraw.Draw(mask).ellipse((0, 0, *body), fill=255)
    photo.paste(ASTRONAUT.resize(body, Image.Resampling.LANCZOS), (540 - body[0] // 2, -110), mask)
    story = photo.resize((1080, 1920)).filter(ImageFilter.GaussianBlur(45))
    story.paste(photo, (0, 420))
    assert found_in(story) == (Box(0, 420, 1080, 1080), Box(0, 0, 1080, 1920))


@pytest.mark.parametrize("table", [0.82, 0.88])
def test_somebody_at_a_table_before_a_smooth_wall_with_a_picture_is_in_no_story(table: float) -> None:
    top = round(1350 * table)
    shades = np.vstack(
        (np.linspace((214, 206, 196), (170, 166, 160), top), np.linspace((150, 110, 80), 70, 1350 - top))
    )
    grain = np.random.default_rng(3).normal(0, 2, (1350, 1080, 3))
    room = Image.fromarray(np.clip(shades[:, None] + grain, 0, 255).astype(np.uint8))
    room.paste(ASTRONAUT.crop((280, 20, 480, 200)).resize((324, 405)), (716, 162))
    room.paste(ASTRONAUT.crop((150, 0, 350, 330)).resize((480, 790)), (80, top - 790))
    assert found_in(room) == (Box(0, 0, 1080, 1350), None)


def test_white_paper_above_and_below_is_no_blurred_border() -> None:
    image = Image.new("RGB", (900, 1200), "#fbfbfb")
    image.paste(PHOTO.resize((900, 620)), (0, 200))
    assert found_in(image)[1] is None


def window_in(image: Image.Image) -> Box:
    return found_in(image)[0]


def found_in(image: Image.Image) -> tuple[Box, Box | None]:
    look, with_blur = look_at_content(ImagingPhotoDecoder().open(as_jpeg(image)))
    return look.window, with_blur


def test_letterbox_bars_and_a_frame_around_them_are_taken_off() -> None:
    boxed = ImageOps.expand(ImageOps.expand(PHOTO, (0, 90), "black"), 20, "white")
    assert is_near(edges_of(boxed), 20, 110, 500, 590)


def test_blurred_borders_are_taken_off_and_told_apart_from_plain_ones() -> None:
    border = PHOTO.resize((480, 800)).filter(ImageFilter.GaussianBlur(25))
    border.paste(PHOTO, (0, 160))
    edges, is_in_blur = content_in(np.asarray(border))
    assert is_near(edges, 0, 160, 480, 640)
    assert is_in_blur
    assert not content_in(np.asarray(ImageOps.expand(PHOTO, 25, "white")))[1]


def test_bars_with_symbols_are_taken_off() -> None:
    shot = ImageOps.expand(PHOTO, (0, 90, 0, 110), "white")
    draw = ImageDraw.Draw(shot)
    for x in (20, 130, 240, 350):
        draw.ellipse((x, 600, x + 30, 630), outline="black", width=3)
        draw.rectangle((x, 30, x + 60, 40), fill="black")
    assert is_near(edges_of(shot), 0, 90, 480, 570)
    for y in (660, 672):
        draw.rectangle((10, y, 400, y + 5), fill="#404040")
    assert is_near(edges_of(shot), 0, 90, 480, 570), "lines of text are no photo"


@pytest.mark.parametrize("ground", [(255, 255, 255), (238, 238, 238), (230, 140, 180)])
def test_a_studios_plain_ground_belongs_to_the_photo(ground: tuple[int, int, int]) -> None:
    """Somebody round stands on it, with soles in one line."""
    image = Image.new("RGB", (480, 640), ground)
    draw = ImageDraw.Draw(image)
    draw.ellipse((200, 60, 280, 150), fill=(120, 80, 60))
    draw.ellipse((150, 140, 330, 420), fill=(30, 60, 140))
    for x in (170, 250):
        draw.rectangle((x, 380, x + 50, 600), fill=(20, 20, 30))
    assert edges_of(image) == Box(0, 0, 480, 640)


def test_shaded_paper_and_a_photo_to_its_borders_have_no_frame() -> None:
    shade = np.linspace(255, 160, 640).astype(np.uint8)
    paper = np.broadcast_to(shade[:, None, None], (640, 480, 3)).copy()
    paper[200:500, 150:330] = (40, 60, 90)
    assert content_in(paper) == (Box(0, 0, 480, 640), False)
    assert edges_of(scenery(640, 480)) == Box(0, 0, 640, 480)
