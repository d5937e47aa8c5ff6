"""Prepare photos offline, exactly as the service does."""

import json
import os
import sys
import unicodedata
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import chain, count
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click
import msgspec

from domain.cropping import Fit
from domain.errors import DomainError
from entrypoints.cli.console import EXIT_FAILED, as_json, fail, printable, progress, settings_or_fail
from entrypoints.cli.photo_files import STANDARD_INPUT, Batch, find_photos, photo_arguments, read_photo
from entrypoints.cli.serve import expect_models
from entrypoints.wiring.photo_processing import SandboxUnavailable, draw_overlay, offline_preparer, without_network
from entrypoints.wiring.settings import Settings

if TYPE_CHECKING:
    from application.prepare_photo import ExplainedPhoto

NOT_WRITTEN: Final = "RESULT_NOT_WRITTEN"
Report = dict[str, Any]


@click.command()
@photo_arguments
@click.option("-o", "--output", required=True, type=click.Path(file_okay=False, path_type=Path), help="Folder to fill.")
@click.option("--overlay", is_flag=True, help="Also draw what was seen and which window was chosen.")
@click.option("--fit", type=click.Choice([*Fit], case_sensitive=False), default=Fit.CROP, help="As in an upload.")
@as_json
def crop(photos: tuple[Path, ...], output: Path, overlay: bool, fit: Fit, json_output: bool) -> None:
    """Crop PHOTOS (files or folders) as an upload would, into files of the same names.

    Works without network. Two photos of the same name become photo.jpg and photo-2.jpg. Exit code 1 when a photo was
    refused; the others are done all the same.

    \b
    Example: tryon-images crop ~/photos selfie.heic -o cropped --overlay --json
    """
    settings = settings_or_fail()
    expect_models(settings)
    try:
        without_network(settings)
    except SandboxUnavailable as error:
        fail(str(error))
    batch = find_photos(photos)
    folder = output.resolve()
    if any(path.resolve().parent == folder for path in batch.photos):
        raise click.UsageError(f"{output} holds photos that are to be cropped. Name another folder with -o.")
    batch.say_what_was_passed_over()
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise click.UsageError(f"{output} cannot be made: {error.strerror}.") from error
    with _only_our_lines():
        reports = list(_crop_all(batch, settings, _Results(output), fit=fit, overlay=overlay))
    for text in [json.dumps(reports, indent=2)] if json_output else map(_line, reports):
        click.echo(text)
    refused = sum("error" in report for report in reports)
    warnings = Counter(code for report in reports for code in report.get("warnings", ()))
    batch.summarize([f"{len(reports) - refused} cropped", f"{refused} refused"], warnings)
    if refused:
        sys.exit(EXIT_FAILED)


@contextmanager
def _only_our_lines() -> Iterator[None]:
    """Libraries write to the descriptor of standard error, whatever Python does; we write to a copy of it."""
    theirs, ours = os.open(os.devnull, os.O_WRONLY), os.dup(2)
    before, sys.stderr = sys.stderr, os.fdopen(os.dup(ours), "w")
    os.dup2(theirs, 2)
    try:
        yield
    finally:
        sys.stderr.close()
        sys.stderr = before
        os.dup2(ours, 2)
        os.close(ours)
        os.close(theirs)


def _crop_all(batch: Batch, settings: Settings, results: "_Results", *, fit: Fit, overlay: bool) -> Iterator[Report]:
    with progress("Loading models", len(batch.photos)) as advance:
        preparer = offline_preparer(settings)
        advance(0, "Cropping")
        for number, path in enumerate(batch.photos, start=1):
            yield _crop(preparer, path, results, settings.max_file_bytes, fit=fit, overlay=overlay)
            advance(number)


@dataclass(slots=True)
class _Results:
    """Names in the output folder; no two photos get the same one, also where case or the way that accents are written
    make no difference.
    """

    folder: Path
    taken: set[str] = field(default_factory=set)

    def path(self, stem: str) -> Path:
        names = (f"{stem}{suffix}.jpg" for suffix in chain([""], (f"-{number}" for number in count(2))))
        name = next(name for name in names if _folded(name) not in self.taken)
        self.taken.add(_folded(name))
        return self.folder / name


def _folded(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()


def _crop(preparer: Any, path: Path, results: _Results, max_bytes: int, *, fit: Fit, overlay: bool) -> Report:
    report: Report = {"file": str(path)}
    try:
        explained: ExplainedPhoto = preparer.explain(read_photo(path, max_bytes), fit=fit)
        return report | _written(explained, results, path, overlay=overlay)
    except DomainError as error:
        return report | {"error": error.code, "message": str(error)}
    except OSError as error:  # the disk is full, or the name with its number too long
        return report | {"error": NOT_WRITTEN, "message": f"The result cannot be written: {error.strerror}."}


def _written(explained: "ExplainedPhoto", results: _Results, path: Path, *, overlay: bool) -> Report:
    """Raises: OSError."""
    facts = explained.prepared.facts
    target = results.path("photo" if path == STANDARD_INPUT else path.stem)
    target.write_bytes(explained.prepared.jpeg)
    report: Report = {
        "output": str(target),
        "width": facts.size.width,
        "height": facts.size.height,
        "source": {"format": facts.source_format, **msgspec.to_builtins(facts.source_size)},
        "contentBox": msgspec.to_builtins(facts.content),
        "crop": msgspec.to_builtins(facts.crop),
        "pad": msgspec.to_builtins(facts.pad),
        "person": msgspec.to_builtins(facts.person),
        "warnings": [warning.code for warning in facts.warnings],
    }
    if overlay:
        drawn = results.path(f"{target.stem}-overlay")
        drawn.write_bytes(draw_overlay(explained))
        report["overlay"] = str(drawn)
    return report


def _line(report: Report) -> str:
    name = printable(Path(report["file"]))
    if "error" in report:
        return f"{name}: {report['error']}: {report['message']}"
    window, person = report["crop"], report["person"]
    seen = f"{person['framing']}, {person['count']} seen" if person else "nobody seen"
    warnings = f" [{', '.join(report['warnings'])}]" if report["warnings"] else ""
    at = f"{window['width']}x{window['height']}+{window['x']}+{window['y']}"
    return f"{name}: {at} ({seen}){warnings} -> {printable(Path(report['output']))}"
