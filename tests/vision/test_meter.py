import pytest
from PIL import ImageEnhance, ImageFilter

from adapters.imaging.photo_decoder import ImagingPhotoDecoder
from adapters.vision.look import PixelMeter
from application.ports.photos import OpenPhoto
from domain.geometry import Box
from domain.photo import DARKEST_HIGHLIGHTS, DARKEST_MIDTONE, LEAST_DETAIL
from tests.people import ASTRONAUT, as_png


def opened(blur: float = 0, light: float = 1) -> OpenPhoto:
    image = ImageEnhance.Brightness(ASTRONAUT.filter(ImageFilter.GaussianBlur(blur))).enhance(light)
    return ImagingPhotoDecoder().open(as_png(image))


def test_blur_takes_the_detail_away_and_little_of_the_light() -> None:
    sharp, blurred = (PixelMeter().measure(opened(blur=radius), None) for radius in (0, 3))
    assert sharp.detail > 0.3
    assert blurred.detail < LEAST_DETAIL
    assert blurred.midtone == pytest.approx(sharp.midtone, abs=0.03)


def test_detail_does_not_fall_with_the_light() -> None:
    bright, dark = (PixelMeter().measure(opened(light=light), None) for light in (1, 0.3))
    assert dark.detail == pytest.approx(bright.detail, rel=0.15)


def test_a_dark_photo_is_measured_as_dark() -> None:
    dark = PixelMeter().measure(opened(light=0.12), None)
    assert dark.midtone < DARKEST_MIDTONE
    assert dark.highlights < DARKEST_HIGHLIGHTS


def test_only_the_region_is_measured() -> None:
    """The helmet's visor at the lower right is black, the wall at the top is light."""
    visor, wall = (PixelMeter().measure(opened(), region) for region in (Box(390, 350, 60, 60), Box(320, 10, 100, 80)))
    assert visor.midtone < 0.2
    assert wall.midtone > 0.5


def test_a_single_pixel_can_be_measured() -> None:
    assert PixelMeter().measure(opened(), Box(5, 5, 1, 1)).detail == 0
