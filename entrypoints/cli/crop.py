"""Prepare photos offline, exactly as the service does."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec
from rich.console import Console
from rich.progress import Progress

from domain.errors import DomainError
from entrypoints.cli.console import EXIT_FAILED, as_json, fail, settings_or_fail
from entrypoints.wiring.photo_processing import (
    SandboxUnavailable,
    draw_overlay,
    missing_models,
    missing_system_libraries,
    offline_preparer,
    without_network,
)

if TYPE_CHECKING:
    from application.prepare_photo import ExplainedPhoto

PHOTOS = frozenset({".jpg", ".jpeg", ".png", ".webp", ".heic", ".heif"})


@click.command()
@click.argument("photos", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@click.option("-o", "--output", required=True, type=click.Path(file_okay=False, path_type=Path), help="Folder to fill.")
@click.option("--overlay", is_flag=True, help="Also draw what was seen and which window was chosen.")
@as_json
def crop(photos: tuple[Path, ...], output: Path, overlay: bool, json_output: bool) -> None:
    """Crop PHOTOS (files or folders) as an upload would, into files of the same names.

    Works without network. Exit code 1 when a photo was refused; the others are done all the same.

    \b
    Example: tryon-images crop ~/photos selfie.heic -o cropped --overlay --json
    """
    settings = settings_or_fail()
    if advice := missing_system_libraries():
        fail(advice)
    if missing_models(settings):
        fail("The models are not installed. Run: tryon-images models install")
    try:
        without_network(settings)
    except SandboxUnavailable as error:
        fail(str(error))
    files = list(_files(photos))
    output.mkdir(parents=True, exist_ok=True)
    reports = []
    with Progress(console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty()) as progress:
        task = progress.add_task("Loading models", total=len(files))
        preparer = offline_preparer(settings)
        for path in files:
            progress.update(task, description=path.name)
            reports.append(_crop(preparer, path, output, overlay=overlay))
            progress.advance(task)
    if json_output:
        click.echo(json.dumps(reports, indent=2))
    else:
        for report in reports:
            click.echo(_line(report))
    if any("error" in report for report in reports):
        sys.exit(EXIT_FAILED)


def _files(photos: tuple[Path, ...]) -> Iterator[Path]:
    for path in photos:
        if path.is_dir():
            yield from sorted(found for found in path.iterdir() if found.suffix.lower() in PHOTOS)
        else:
            yield path


def _crop(preparer: Any, path: Path, output: Path, *, overlay: bool) -> dict[str, Any]:
    report: dict[str, Any] = {"file": str(path)}
    try:
        explained: ExplainedPhoto = preparer.explain(path.read_bytes())
    except DomainError as error:
        return report | {"error": error.code, "message": str(error)}
    prepared = explained.prepared
    target = output / f"{path.stem}{path.suffix.lower().replace('.', '-')}.jpg"
    target.write_bytes(prepared.jpeg)
    report |= {
        "output": str(target),
        "width": prepared.size.width,
        "height": prepared.size.height,
        "source": {"format": prepared.source_format, **msgspec.to_builtins(prepared.source_size)},
        "crop": msgspec.to_builtins(prepared.crop),
        "person": msgspec.to_builtins(prepared.person),
        "warnings": [warning.code for warning in prepared.warnings],
    }
    if overlay:
        drawn = target.with_name(f"{target.stem}-overlay.jpg")
        drawn.write_bytes(draw_overlay(explained))
        report["overlay"] = str(drawn)
    return report


def _line(report: dict[str, Any]) -> str:
    if "error" in report:
        return f"{report['file']}: {report['error']}: {report['message']}"
    window, person = report["crop"], report["person"]
    seen = f"{person['framing']}, {person['count']} seen" if person else "nobody seen"
    warnings = f" [{', '.join(report['warnings'])}]" if report["warnings"] else ""
    at = f"{window['width']}x{window['height']}+{window['x']}+{window['y']}"
    return f"{report['file']}: {at} ({seen}){warnings} -> {report['output']}"
