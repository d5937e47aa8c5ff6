"""Scores the framing on photos with ground truth, and on the same photos sent again: `make evaluate PHOTOS=folder`.

The photos are not part of this repository: a folder holds them with `cases.json`, which lists the people in each, and
`score.py`, which defines what a good window is; folders inside it may hold more of them with `expected.json`. Prints
every figure in one table, and writes one contact sheet for each kind of photo.
"""

import argparse
import importlib.util
import io
import json
import os
import resource
import sys
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cache
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from types import ModuleType
from typing import Any, TypeVar

import click
from PIL import Image, ImageOps

from adapters.imaging.photo_decoder import ImagingPhotoDecoder
from adapters.vision.look import PixelMeter
from adapters.vision.overlay import draw_overlay
from adapters.vision.people_detector import PeopleDetector
from application.ports.photos import ViewablePhoto
from application.prepare_photo import PreparePhoto
from domain.cropping import choose_window, place
from domain.geometry import Box
from domain.person import SeenPhoto
from domain.photo import WarningCode
from tests.framing_variations import codes_of, differences, variations

FOLDER_VARIABLE = "TRYON_FRAMING_PHOTOS"
MODELS = Path(os.environ.get("TRYON_MODEL_DIR", "~/.cache/tryon-images/models")).expanduser()
SHEETS = Path(tempfile.gettempdir()) / "tryon-framing-sheets"
VARIED_EDGE = 1200
GOALS = {
    "score": ">= 0.985",
    "heads kept": "all",
    "people missed": "<= 1 of 171",
    "false people": "<= 1",
    "lowest point lost without a word": "none",
    "MULTIPLE_PEOPLE": "38 of 41",
    "MULTIPLE_PEOPLE, false": "<= 1 of 140",
    "detection, median CPU ms": "<= 70",
    "detection, most CPU ms": "<= 330",
    "judged the same again": ">= 0.99",
}
"""Reach of the second generation of the crop."""

Item = TypeVar("Item")
CELL, COLUMNS = 360, 5
ANKLES_SLACK = 0.02


@dataclass(slots=True)
class Judged:
    """One photo with its ground truth and what we made of it."""

    name: str
    file: Path
    case: dict[str, Any]
    seen: SeenPhoto
    codes: set[WarningCode]
    milliseconds: float

    @property
    def window(self) -> Box:
        return place(self.seen).window

    @property
    def result(self) -> dict[str, Any]:
        person = self.seen.main_person
        return {"crop": as_json(self.window), "person": {"box": as_json(person.box)} if person else None}

    def as_json(self) -> dict[str, Any]:
        codes = sorted(code.value for code in self.codes)
        return {"name": self.name, **self.result, "count": len(self.seen.people), "warnings": codes}

    @property
    def loses_its_lowest_point(self) -> bool:
        """Whether the lowest annotated point of the body, as a rule an ankle, is cut by the window."""
        for subject in self.case["subjects"][:1]:
            lowest = max((y for _, y in subject.get("points") or []), default=0)
            return bool(lowest > self.window.bottom + ANKLES_SLACK * (subject["box"][3] - subject["box"][1]))
        return False


class Judge:
    """The detector and the meter as a worker uses them, timed."""

    def __init__(self) -> None:
        self.detector = PeopleDetector(MODELS)
        self.meter = PixelMeter()
        self.decoder = ImagingPhotoDecoder()

    def look(self, file: bytes) -> tuple[SeenPhoto, set[WarningCode], float]:
        photo = self.decoder.open(file)
        photo.view(None, 16)  # the decoder's share is not the detector's
        started = cpu_seconds()
        seen = self.detector.detect(photo)
        milliseconds = (cpu_seconds() - started) * 1000
        return seen, self._codes(photo, seen), milliseconds

    def _codes(self, photo: ViewablePhoto, seen: SeenPhoto) -> set[WarningCode]:
        person = seen.main_person
        region, outline = (person.box, person.outline) if person else (None, None)
        return codes_of(seen, self.meter.measure(photo, region, outline))

    def explain(self, file: bytes) -> bytes:
        prepare = PreparePhoto(self.decoder, self.detector, self.meter, VARIED_EDGE)
        return draw_overlay(prepare.explain(file))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path, default=os.environ.get(FOLDER_VARIABLE), help="folder of the photos")
    parser.add_argument("--sheets", type=Path, default=SHEETS, help="folder for one contact sheet a kind")
    parser.add_argument("--every", type=int, default=1, help="vary only every n-th photo; 0 varies none")
    parser.add_argument("--json", type=Path, help="file for all figures, and what each photo and variation was judged")
    parser.add_argument("--least", type=float, default=0.0, help="fail when a folder's score is below this")
    arguments = parser.parse_args()
    folder: Path | None = arguments.photos and Path(arguments.photos)
    if folder is None or not all((folder / name).is_file() for name in ("cases.json", "score.py")):
        say(f"No photos to score: name a folder with cases.json and score.py by --photos or {FOLDER_VARIABLE}.")
        return 2
    scoring, judge = load(folder / "score.py"), own_judge()
    judge.look((next(folder.glob("*.jpg"))).read_bytes())  # the first use of a model takes longer
    parts = (folder, *sorted(path for path in folder.iterdir() if (path / "cases.json").is_file()))
    judged = {part: list(judge_all(part, judge)) for part in parts}
    everything = [one for part in judged.values() for one in part]
    found = Found({part.name: figures(part, ones, scoring) for part, ones in judged.items()})
    if len(parts) > 1:
        found.columns["all"] = figures(folder, everything, scoring)
    again = same_again(everything[:: arguments.every] if arguments.every else [])
    found.columns[list(found.columns)[-1]] |= again.figures()
    say(found.table())
    for photo, changes in again.changes.items():
        say(f"changed: {photo}: {'; '.join(changes)}")
    if arguments.json:
        report = {"figures": found.columns, "changes": again.changes, "photos": [one.as_json() for one in everything]}
        arguments.json.write_text(json.dumps(report, indent=1), encoding="utf-8")
    write_sheets(everything, judge, arguments.sheets)
    return int(min(float(column["score"]) for column in found.columns.values()) < arguments.least)


def judge_all(folder: Path, judge: Judge) -> Iterator[Judged]:
    cases = json.loads((folder / "cases.json").read_text(encoding="utf-8"))["cases"]
    with progress(cases.items(), f"photos in {folder.name}", len(cases)) as shown:
        for name, case in shown:
            file = folder / case["file"]
            yield Judged(name, file, case, *judge.look(file.read_bytes()))


@dataclass(frozen=True, slots=True)
class Found:
    """Figures by what they are of, for each folder."""

    columns: dict[str, dict[str, str]]

    def table(self) -> str:
        names = list(dict.fromkeys(name for column in self.columns.values() for name in column))
        rows = [["", "goal", *self.columns]]
        rows += [
            [name, GOALS.get(name, ""), *(column.get(name, "") for column in self.columns.values())] for name in names
        ]
        widths = [max(len(row[index]) for row in rows) for index in range(len(rows[0]))]
        return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)


def figures(folder: Path, judged: list[Judged], scoring: ModuleType) -> dict[str, str]:
    """All that can be told of the photos as they are."""
    cases = {one.name: one.case for one in judged}
    rows, total, _ = scoring.score_all(cases, {one.name: one.result for one in judged})
    centered = {one.name: {"crop": as_json(largest_centered(one.case))} for one in judged}
    _, total_centered, _ = scoring.score_all(cases, centered)
    worst = min(rows, key=lambda name: float(rows[name]["score"]))
    with_people = [one for one in judged if one.case["subjects"]]
    milliseconds = [one.milliseconds for one in judged]
    silent = [one for one in judged if one.loses_its_lowest_point and WarningCode.BODY_CUT_BY_CROP not in one.codes]
    return {
        "score": f"{total['overall']:.4f}",
        "score of the centered window": f"{total_centered['overall']:.4f}",
        "lowest score of a photo": f"{rows[worst]['score']:.3f} {worst}",
        "heads kept": share(rows[one.name]["head_ok"] == 1 for one in with_people),
        "people missed": f"{sum(one.seen.main_person is None for one in with_people)} of {len(with_people)}",
        "false people": names(one for one in judged if not one.case["subjects"] and one.seen.people),
        "lowest point lost without a word": names(silent),
        **expectations(folder / "expected.json", judged),
        "detection, median CPU ms": f"{median(milliseconds):.0f}",
        "detection, most CPU ms": f"{max(milliseconds):.0f}",
    }


def expectations(file: Path, judged: list[Judged]) -> dict[str, str]:
    """How the warnings agree with what people saw, where a folder tells."""
    if not file.is_file():
        return {}
    expected = json.loads(file.read_text(encoding="utf-8"))
    kinds = {
        WarningCode.MULTIPLE_PEOPLE: expected["multiple_people"],
        WarningCode.BLURRY: expected["blurry_expected"],
        WarningCode.TOO_BRIGHT: expected["too_bright_expected"],
        WarningCode.PHOTO_SIDEWAYS: expected["sideways"],
    }
    told = {}
    for code, wanted in kinds.items():
        told[code.value] = f"{sum(code in one.codes for one in judged if one.name in wanted)} of {len(wanted)}"
        told[f"{code.value}, false"] = names(one for one in judged if code in one.codes and one.name not in wanted)
    return told


@dataclass(slots=True)
class Again:
    """How often a variation of a photo was judged otherwise than the photo."""

    tried: Counter[str]
    wrong: Counter[str]
    changes: dict[str, list[str]]
    photos: int = 0

    def figures(self) -> dict[str, str]:
        if not self.tried:
            return {}
        same, total = self.tried.total() - self.wrong.total(), self.tried.total()
        return {
            "judged the same again": f"{same / total:.4f} ({same} of {total})",
            "photos without any change": f"{self.photos - len(self.changes)} of {self.photos}",
            **{f"  {name}": f"{count - self.wrong[name]} of {count}" for name, count in self.tried.items()},
        }


def same_again(judged: list[Judged]) -> Again:
    """On all cores: 14 variations of a photo take some three seconds."""
    again = Again(Counter(), Counter(), defaultdict(list), len(judged))
    if not judged:
        return again
    with ProcessPoolExecutor(mp_context=get_context("spawn")) as pool:
        every = zip(judged, pool.map(changes_of, [one.file for one in judged]), strict=True)
        with progress(every, "the same photos again", len(judged)) as shown:
            for one, changes in shown:
                again.tried.update(changes.keys())
                again.wrong.update(name for name, found in changes.items() if found)
                if told := [f"{name}: {', '.join(found)}" for name, found in changes.items() if found]:
                    again.changes[one.name] = told
    return again


def changes_of(file: Path) -> dict[str, list[str]]:
    """For each variation of a photo, how it was judged otherwise than the photo."""
    judge = own_judge()
    with Image.open(file) as opened:
        photo = ImageOps.exif_transpose(opened).convert("RGB")
    photo.thumbnail((VARIED_EDGE, VARIED_EDGE))
    first = judge.look(as_png(photo))[:2]
    return {
        one.name: differences(first, judge.look(one.file)[:2], one.in_the_photo, one.may_change)
        for one in variations(photo)
    }


@cache
def own_judge() -> Judge:
    """The models of this process."""
    return Judge()


def progress(items: Iterable[Item], label: str, length: int) -> AbstractContextManager[Iterable[Item]]:
    """A bar on standard error, so that the table alone is the output."""
    return click.progressbar(items, length, label=label, file=sys.stderr, width=30)


def write_sheets(judged: list[Judged], judge: Judge, folder: Path) -> None:
    """One contact sheet for each tag: what was seen, the window, the warnings."""
    folder.mkdir(parents=True, exist_ok=True)
    by_tag: dict[str, list[Image.Image]] = defaultdict(list)
    for one in judged:
        picture = Image.open(io.BytesIO(judge.explain(one.file.read_bytes()))).convert("RGB")
        picture.thumbnail((CELL, CELL))
        for tag in one.case["tags"]:
            by_tag[tag].append(picture)
    for tag, pictures in by_tag.items():
        rows = -(-len(pictures) // COLUMNS)
        sheet = Image.new("RGB", (CELL * min(COLUMNS, len(pictures)), CELL * rows), "#303030")
        for index, picture in enumerate(pictures):
            sheet.paste(picture, (index % COLUMNS * CELL, index // COLUMNS * CELL))
        sheet.save(folder / f"{tag.replace(':', 'x').replace('/', '-')}.jpg", quality=85)
    say(f"{len(by_tag)} contact sheets in {folder}")


def largest_centered(case: dict[str, Any]) -> Box:
    return choose_window(Box(0, 0, case["width"], case["height"]), None)


def as_json(box: Box) -> dict[str, int]:
    return {"x": box.x, "y": box.y, "width": box.width, "height": box.height}


def as_png(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "PNG", compress_level=1)
    return file.getvalue()


def share(kept: Iterator[bool]) -> str:
    found = list(kept)
    return f"{sum(found)} of {len(found)}"


def names(judged: Iterable[Judged]) -> str:
    return ", ".join(one.name for one in judged) or "none"


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
