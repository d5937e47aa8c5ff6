"""CPU time of the pixel work against what others would need: `python -m tests.benchmarks.pixels`.

For every photo of the mix: our own work (headers, a look for the detector, the kept picture), the floor (the fastest
decode of that format plus the encode of a 1600 x 2000 result, nothing in between), libvips (autorot, ICC to sRGB,
smartcrop by attention, jpegsave) and plain Pillow. HEIC has no decoder in libvips' wheel and none faster than libheif
in ours: both get their pixels from pillow-heif. Rounds are interleaved, figures are medians of process CPU time.
"""

import argparse
import io
import statistics
import time
from collections.abc import Callable
from typing import Any

import imagecodecs
import numpy as np
import pillow_heif
import pyvips
from PIL import Image, ImageCms, ImageOps
from rich.console import Console
from rich.table import Table

from adapters.imaging.native import libturbojpeg, libwebp
from adapters.imaging.photo_decoder import ImagingPhotoDecoder
from adapters.vision.look import LOOK_EDGE
from domain.geometry import Box, Size
from tests.benchmarks import worker_surroundings
from tests.benchmarks.photos import corpus

_SRGB = ImageCms.createProfile("sRGB")


def portrait_window(size: Size) -> Box:
    """The largest centred 4:5 window."""
    height = min(size.height, size.width * 5 // 4)
    width = height * 4 // 5
    return Box((size.width - width) // 2, (size.height - height) // 2, width, height)


def ours(photo: bytes) -> bytes:
    """Exactly what a worker does, without the detector."""
    opened = ImagingPhotoDecoder().open(photo)
    opened.decode(2000)
    opened.view(None, LOOK_EDGE)
    return opened.encode(portrait_window(opened.upright_size), 2000).jpeg


def heif_pixels(photo: bytes) -> Any:
    """By libheif on one thread."""
    pillow_heif.options.DECODE_THREADS = 1
    return np.asarray(pillow_heif.open_heif(photo))


def floor(photo: bytes) -> bytes:
    """Decode and encode, nothing else."""
    if photo[:2] == b"\xff\xd8":
        planes, _ = libturbojpeg.decode(photo, Size(*Image.open(io.BytesIO(photo)).size), 1)
    elif photo[:4] == b"RIFF":
        planes = libwebp.decode_420(photo, Size(*Image.open(io.BytesIO(photo)).size)) or ()
    else:
        pixels = heif_pixels(photo) if photo[4:8] == b"ftyp" else imagecodecs.png_decode(photo)
        planes = (pixels[..., 1], pixels[::2, ::2, 0], pixels[::2, ::2, 2])
    height, width = min(2000, planes[0].shape[0]), min(1600, planes[0].shape[1])
    luma, *chroma = planes
    blue, red = (plane[: height // 2, : width // 2] for plane in chroma)
    return libturbojpeg.encode_420(luma[:height, :width], blue, red, quality=92)


def libvips(photo: bytes) -> bytes:
    """autorot, ICC to sRGB, smartcrop attention, jpegsave Q 92: what `sharp` would do."""
    if photo[4:8] == b"ftyp":
        image = pyvips.Image.new_from_array(heif_pixels(photo))
    else:
        image = pyvips.Image.new_from_buffer(photo, "").autorot()
    if image.get_typeof("icc-profile-data"):
        image = image.icc_transform("srgb")
    scale = max(1600 / image.width, 2000 / image.height)
    if scale < 1:
        image = image.resize(scale)
    width = min(image.width, image.height * 4 // 5)
    image = image.smartcrop(width, width * 5 // 4, interesting="attention")
    return bytes(image.jpegsave_buffer(Q=92, strip=True))


def pillow(photo: bytes) -> bytes:
    """What one would build in an afternoon."""
    image: Any = ImageOps.exif_transpose(Image.open(io.BytesIO(photo)))
    if profile := image.info.get("icc_profile"):
        image = ImageCms.profileToProfile(image, ImageCms.ImageCmsProfile(io.BytesIO(profile)), _SRGB)
    image = ImageOps.fit(image.convert("RGB"), (1600, 2000), Image.Resampling.LANCZOS)
    out = io.BytesIO()
    image.save(out, "JPEG", quality=92)
    return out.getvalue()


_CONTENDERS: dict[str, Callable[[bytes], bytes]] = {"ours": ours, "floor": floor, "libvips": libvips, "Pillow": pillow}


def cpu_ms(work: Callable[[bytes], bytes], photo: bytes) -> float:
    """User and system time of this process, all threads."""
    started_at = time.process_time()
    work(photo)
    return (time.process_time() - started_at) * 1000


def measure(photos: dict[str, bytes], rounds: int) -> dict[tuple[str, str], list[float]]:
    """A B C D A B C D ...: what disturbs one disturbs all."""
    times: dict[tuple[str, str], list[float]] = {}
    for photo in photos.values():
        for work in _CONTENDERS.values():
            work(photo)
    for _ in range(rounds):
        for kind, photo in photos.items():
            for name, work in _CONTENDERS.items():
                times.setdefault((kind, name), []).append(cpu_ms(work, photo))
    return times


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    photos = corpus()
    times = measure(photos, rounds)
    medians = {key: statistics.median(values) for key, values in times.items()}
    table = Table("photo", "MB", *_CONTENDERS, "ours / floor", "ours / libvips", title="CPU ms, medians")
    for kind, photo in photos.items():
        row = [medians[kind, name] for name in _CONTENDERS]
        ratios = f"{row[0] / row[1]:.2f}", f"{row[0] / row[2]:.2f}"
        table.add_row(kind, f"{len(photo) / 1e6:.1f}", *(f"{value:.0f}" for value in row), *ratios)
    for title, mix in (("mix", [k for k in photos if "HEIC" not in k]), ("mix with HEIC", list(photos))):
        row = [statistics.mean(medians[kind, name] for kind in mix) for name in _CONTENDERS]
        ratios = f"{row[0] / row[1]:.2f}", f"{row[0] / row[2]:.2f}"
        table.add_row(title, "", *(f"{value:.0f}" for value in row), *ratios, style="bold")
    Console().print(table)
    spread = statistics.median((max(values) - min(values)) / statistics.median(values) for values in times.values())
    if spread > 0.25:
        Console().print(f"[yellow]Noisy machine: rounds differ by {spread:.0%} of their median.[/yellow]")


if __name__ == "__main__":
    worker_surroundings.enter("tests.benchmarks.pixels")
    main()
