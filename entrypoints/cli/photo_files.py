"""Photos that an operator names: files, folders and standard input, with a word on each file that is passed over."""

import os
import stat
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import click

from domain.errors import FileTooLarge, InvalidImage
from entrypoints.cli.console import printable

NAMES_OF_PHOTOS: Final = frozenset({".jpg", ".jpeg", ".png", ".webp", ".heic", ".heif", ".hif", ".jpe", ".jfif"})
STANDARD_INPUT: Final = Path("-")

photo_arguments = click.argument("photos", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="PHOTO…")


@dataclass(frozen=True, slots=True)
class Batch:
    """`photos` in the order in which they are named, those of a folder by their names; none twice."""

    photos: list[Path] = field(default_factory=list)
    passed_over: list[tuple[Path, str]] = field(default_factory=list)

    def say_what_was_passed_over(self) -> None:
        """On standard error, a line each."""
        for path, reason in self.passed_over:
            click.echo(f"Passed over {printable(path)}: {reason}.", err=True)

    def summarize(self, results: Sequence[str], warnings: Mapping[str, int]) -> None:
        """On standard error: what became of the photos, and how often which warning was given."""
        passed_over = [f"{len(self.passed_over)} passed over"] if self.passed_over else []
        click.echo(f"{', '.join([*results, *passed_over])}.", err=True)
        if warnings:
            counts = Counter(warnings).most_common()
            click.echo(f"Warnings: {', '.join(f'{code} {count}' for code, count in counts)}.", err=True)


def find_photos(named: Sequence[Path]) -> Batch:
    """What is named itself is always taken; out of a folder only files with the name of a photo, no folders in it."""
    batch, seen = Batch(), set()
    for path in named:
        for photo in _inside(path, batch) if os.path.isdir(path) else (path,):  # noqa: PTH112 - whatever it is called
            if (resolved := photo.resolve()) not in seen:
                seen.add(resolved)
                batch.photos.append(photo)
    return batch


def _inside(folder: Path, batch: Batch) -> Iterator[Path]:
    for path in sorted(folder.iterdir()):
        if path.is_dir():
            batch.passed_over.append((path, "a folder; name it to take its photos"))
        elif path.suffix.lower() not in NAMES_OF_PHOTOS:
            batch.passed_over.append((path, "not the name of a photo"))
        else:
            yield path


def read_photo(path: Path, max_bytes: int) -> bytes:
    """Raises: FileTooLarge, InvalidImage: nothing that could be read."""
    photo = sys.stdin.buffer.read(max_bytes + 1) if path == STANDARD_INPUT else _read_file(path, max_bytes)
    if len(photo) > max_bytes:
        raise FileTooLarge(max_bytes)
    return photo


def _read_file(path: Path, max_bytes: int) -> bytes:
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise InvalidImage("This is no file.")
        with path.open("rb") as file:
            return file.read(max_bytes + 1)
    except OSError as error:
        raise InvalidImage(f"The file cannot be read: {error.strerror}.") from None
