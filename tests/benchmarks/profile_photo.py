"""The CPU time of one photo, by stages: `python -m tests.benchmarks.profile_photo [PHOTO]`."""

import argparse
import cProfile
import pstats
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

from adapters.imaging.photo_decoder import ImagingPhotoDecoder
from adapters.vision.look import LOOK_EDGE
from tests.benchmarks import worker_surroundings
from tests.benchmarks.photos import phone_jpeg
from tests.benchmarks.pixels import portrait_window

_ROUNDS = 5
_STAGES = (
    "open",
    "view",
    "encode",
    "_decoded",
    "resampled",
    "turned_upright",
    "rgb",
    "encode_jpeg",
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("photo", type=Path, nargs="?", help="a file; a 12-megapixel phone JPEG is made without one")
    path = parser.parse_args().photo
    photo = phone_jpeg() if path is None else path.read_bytes()
    profile = cProfile.Profile(time.process_time)
    for _ in range(_ROUNDS):
        profile.enable()
        opened = ImagingPhotoDecoder().open(photo)
        opened.decode(2000)
        opened.view(None, LOOK_EDGE)
        opened.encode(portrait_window(opened.upright_size), 2000)
        profile.disable()
    table = Table("stage", "ms a photo", title=f"{opened.source_format}, {opened.upright_size.pixels:,} px")
    stats = pstats.Stats(profile).stats  # type: ignore[attr-defined]  # typeshed leaves out this long-standing attribute
    for stage in _STAGES:
        seconds = sum(
            cumulative
            for (file, _, name), (_, _, _, cumulative, _) in stats.items()
            if name == stage and "adapters/imaging" in file
        )
        table.add_row(stage.strip("_"), f"{seconds / _ROUNDS * 1000:.1f}")
    Console().print(table)


if __name__ == "__main__":
    worker_surroundings.enter("tests.benchmarks.profile_photo")
    main()
