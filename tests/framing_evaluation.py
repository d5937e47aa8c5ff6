"""Scores our 4:5 windows beside a centre crop on photos with ground truth: `python -m tests.framing_evaluation`.

The photos are not part of this repository: a folder holds them with `cases.json`, which lists for each the people in
it, and `score.py`, which defines what a good window is.
"""

import argparse
import importlib.util
import json
import os
import resource
import sys
from pathlib import Path
from statistics import median
from types import ModuleType
from typing import Any

from adapters.imaging.photo_decoder import ImagingPhotoDecoder
from adapters.vision.people_detector import PeopleDetector
from application.ports.photos import OpenPhoto
from domain.cropping import choose_window, place
from domain.geometry import Box

FOLDER_VARIABLE = "TRYON_FRAMING_PHOTOS"
MODELS = Path(os.environ.get("TRYON_MODEL_DIR", "~/.cache/tryon-images/models")).expanduser()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path, default=os.environ.get(FOLDER_VARIABLE), help="folder of the photos")
    parser.add_argument("--least", type=float, default=0.0, help="fail when our overall score is below this")
    arguments = parser.parse_args()
    folder: Path | None = arguments.photos and Path(arguments.photos)
    if folder is None or not all((folder / name).is_file() for name in ("cases.json", "score.py")):
        say(f"No photos to score: name a folder with cases.json and score.py by --photos or {FOLDER_VARIABLE}.")
        return 2
    scoring = load(folder / "score.py")
    cases = json.loads((folder / "cases.json").read_text(encoding="utf-8"))["cases"]
    ours, milliseconds = windows_of_ours(folder, cases)
    centered = {name: {"crop": as_json(largest_centered(case))} for name, case in cases.items()}
    rows, total, tags = scoring.score_all(cases, ours)
    scoring.table(rows, total, tags, out=say)
    _, total_centered, _ = scoring.score_all(cases, centered)
    say(f"detection, CPU ms a photo: median {median(milliseconds):.0f}, most {max(milliseconds):.0f}")
    say(f"overall: ours {total['overall']:.4f}, centre crop {total_centered['overall']:.4f}")
    return int(total["overall"] < arguments.least)


def windows_of_ours(folder: Path, cases: dict[str, Any]) -> tuple[dict[str, Any], list[float]]:
    decoder, detector = ImagingPhotoDecoder(), PeopleDetector(MODELS)
    found, milliseconds = {}, []
    for name, case in cases.items():
        photo = decoder.open((folder / case["file"]).read_bytes())
        photo.view(None, 16)  # the decoder's share is not the detector's
        started = cpu_seconds()
        found[name] = window_of_ours(photo, detector)
        milliseconds.append((cpu_seconds() - started) * 1000)
    return found, milliseconds


def window_of_ours(photo: OpenPhoto, detector: PeopleDetector) -> dict[str, Any]:
    photo_seen = detector.detect(photo)
    person = photo_seen.main_person
    seen = {"box": as_json(person.box)} if person else None
    return {"crop": as_json(place(photo_seen).window), "person": seen}


def largest_centered(case: dict[str, Any]) -> Box:
    return choose_window(Box(0, 0, case["width"], case["height"]), None)


def as_json(box: Box) -> dict[str, int]:
    return {"x": box.x, "y": box.y, "width": box.width, "height": box.height}


def load(file: Path) -> ModuleType:
    found = importlib.util.spec_from_file_location(file.stem, file)
    if found is None or found.loader is None:
        raise ImportError(f"cannot load {file.name}")
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


def cpu_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")


if __name__ == "__main__":
    sys.exit(main())
