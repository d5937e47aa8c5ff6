"""Upload photos by the hundred: resumable, with progress for people and lines for machines."""

import asyncio
import csv
import hashlib
import json
import os
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click
from rich.progress import ProgressColumn, Task
from rich.text import Text

from domain.audit import Action
from domain.errors import DomainError
from domain.retention import RetentionPolicy
from entrypoints.cli.console import EXIT_FAILED, EXIT_UNAVAILABLE, as_json, fail, progress, run
from entrypoints.cli.photo_files import Batch, find_photos, photo_arguments, printable, read_photo
from entrypoints.cli.upload_targets import Busy, Refused, Target, embedded_service, running_service

if TYPE_CHECKING:
    from entrypoints.wiring.container import Container

MAX_BYTES: Final = 64 * 1024 * 1024
"""The service decides how large a file may be; this only keeps a disk image out of memory."""
KEY_VARIABLE: Final = "API_KEY"
PAUSES: Final = (1.0, 2.0, 4.0, 8.0, 16.0)
"""Seconds before another try, unless the service names its own."""
PATIENCE_SECONDS: Final = 300
"""For one photo that the service puts off: an account's rate, a queue that is full."""
COLUMNS: Final = ("file", "imageId", "imageUrl", "expiresAt", "width", "height", "warnings", "error", "message")
Report = dict[str, Any]


@click.command()
@photo_arguments
@click.option("--to", "url", metavar="URL", help="A running service. Without it: the embedded one of this machine.")
@click.option(
    "--key-file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Holds the API key; else $API_KEY does.",
)
@click.option("--account", default="default", show_default=True, help="Account of the embedded service.")
@click.option("--external-user-id", metavar="ID", help="The person whose photos these are.")
@click.option(
    "--keep-for-days",
    type=click.Choice([str(days) for days in RetentionPolicy.ALLOWED_DAYS]),
    help="Retention; else the account's.",
)
@click.option("--no-crop", is_flag=True, help="Keep the framing.")
@click.option("--fit", type=click.Choice(["crop", "pad"]), help="What to do when no window holds the whole person.")
@click.option("--at-once", type=click.IntRange(1, 32), default=4, show_default=True, help="Photos at a time.")
@as_json
@click.option("--csv", "csv_output", is_flag=True, help="Print CSV.")
def upload(  # noqa: PLR0917 - click calls it by keyword
    photos: tuple[Path, ...],
    url: str | None,
    key_file: Path | None,
    account: str,
    external_user_id: str | None,
    keep_for_days: str | None,
    no_crop: bool,
    fit: str | None,
    at_once: int,
    json_output: bool,
    csv_output: bool,
) -> None:
    """Upload PHOTOS: files, folders, or - for standard input.

    Start it again after an interruption: what is there already is found by its digest, within 24 hours, and not stored
    twice. --json prints a line for each photo as soon as it is done. Exit code 1 when a photo was refused, 3 when the
    service did not answer; the others are uploaded all the same.

    \b
    Examples:
      tryon-images upload ~/photos --to https://photos.example.com --key-file key.txt --csv > uploaded.csv
      tryon-images upload selfie.heic --json
    """
    if url is not None and not url.startswith(("http://", "https://")):
        raise click.BadParameter("must begin with https:// or http://", param_hint="--to")
    crop = "false" if no_crop else None
    options = {"externalUserId": external_user_id, "keepForDays": keep_for_days, "crop": crop, "fit": fit}
    fields = {name: value for name, value in options.items() if value is not None}
    batch = find_photos(photos)
    batch.say_what_was_passed_over()
    work = _Work(batch, fields, _writer(json_output=json_output, csv_output=csv_output), at_once)

    async def embedded(container: "Container") -> None:
        found = await container.list_accounts().named(account)
        await container.note_in_audit().execute(Action.IMAGES_UPLOADED, found.account_id, images=len(batch.photos))
        await work.into(embedded_service(container, found))

    if url is None:
        run(embedded)
    else:
        asyncio.run(work.into(running_service(url, _key(key_file))))
    work.summarize()


def _key(key_file: Path | None) -> str:
    key = key_file.read_text().strip() if key_file else os.environ.get(KEY_VARIABLE, "")
    if not key:
        fail(f"The API key is missing. Put it into a file and name it by --key-file, or set {KEY_VARIABLE}.", 2)
    return key


@dataclass(slots=True)
class _Work:
    """One batch on its way, and what came of it."""

    batch: Batch
    fields: Mapping[str, str]
    write: Callable[[Report], None]
    at_once: int
    is_over: bool = False
    """Nothing more is sent: the service does not answer."""
    counts: Counter[str] = field(default_factory=Counter)
    warnings: Counter[str] = field(default_factory=Counter)

    async def into(self, opening: AbstractAsyncContextManager[Target]) -> None:
        with progress("Uploading", len(self.batch.photos), _Rate()) as advance:
            async with opening as target:
                async for report in self._reports(target):
                    self._note(report)
                    self.write(report)
                    advance(self.counts.total())

    async def _reports(self, target: Target) -> AsyncIterator[Report]:
        """In the order in which they are done; only `at_once` photos are in memory."""
        waiting = iter(self.batch.photos)
        running: set[asyncio.Task[Report]] = set()
        try:
            while True:
                for path in () if self.is_over else waiting:
                    running.add(asyncio.create_task(self._one(target, path)))
                    if len(running) == self.at_once:
                        break
                if not running:
                    return
                done, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    yield task.result()
        finally:
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)

    async def _one(self, target: Target, path: Path) -> Report:
        report: Report = {"file": str(path)}
        try:
            photo = await asyncio.to_thread(read_photo, path, MAX_BYTES)
            return {**report, **await self._patiently(target, photo)}
        except Busy as error:
            self.is_over = True
            return report | {"error": error.code, "message": str(error)}
        except (Refused, DomainError) as error:
            return report | {"error": error.code, "message": str(error)}

    async def _patiently(self, target: Target, photo: bytes) -> Mapping[str, Any]:
        """Raises: Refused; Busy, when nothing has changed for too long."""
        key = hashlib.sha256(photo + repr(sorted(self.fields.items())).encode()).hexdigest()
        now, pauses = asyncio.get_running_loop().time, iter(PAUSES)
        give_up_at = now() + PATIENCE_SECONDS
        while True:
            try:
                return await target.send(photo, self.fields, f"upload-{key}")
            except Busy as busy:
                pause = next(pauses, None) if busy.seconds is None else busy.seconds
                if pause is None or now() + pause > give_up_at:
                    raise
                await asyncio.sleep(pause)

    def _note(self, report: Report) -> None:
        self.counts[report.get("error", "uploaded")] += 1
        self.warnings.update(warning["code"] for warning in report.get("warnings", ()))

    def summarize(self) -> None:
        """On standard error; leaves with an exit code when something was refused."""
        uploaded = self.counts.pop("uploaded", 0)
        parts = [f"{uploaded} uploaded"]
        parts += [f"{count} {code}" for code, count in self.counts.most_common()]
        if not_tried := len(self.batch.photos) - self.counts.total() - uploaded:
            parts.append(f"{not_tried} not tried")
        if self.batch.passed_over:
            parts.append(f"{len(self.batch.passed_over)} passed over")
        click.echo(f"{', '.join(parts)}.", err=True)
        if self.warnings:
            found = ", ".join(f"{code} {count}" for code, count in self.warnings.most_common())
            click.echo(f"Warnings: {found}.", err=True)
        if self.counts:
            sys.exit(EXIT_UNAVAILABLE if self.is_over else EXIT_FAILED)


def _writer(*, json_output: bool, csv_output: bool) -> Callable[[Report], None]:
    """Writes a line for each photo."""
    if json_output and csv_output:
        raise click.UsageError("--json and --csv exclude each other.")
    return _csv_writer() if csv_output else _write_json if json_output else _write_line


def _write_line(report: Report) -> None:
    name = printable(Path(report["file"]))
    if "error" in report:
        click.echo(f"{name}: {report['error']}: {report['message']}")
        return
    warnings = "".join(f" {warning['code']}" for warning in report["warnings"])
    click.echo(f"{name}: {report['imageId']} {report['width']}x{report['height']}{warnings}")


def _write_json(report: Report) -> None:
    click.echo(json.dumps(report, ensure_ascii=True))


def _csv_writer() -> Callable[[Report], None]:
    writer = csv.DictWriter(sys.stdout, COLUMNS, extrasaction="ignore")
    writer.writeheader()

    def write(report: Report) -> None:
        codes = " ".join(warning["code"] for warning in report.get("warnings", ()))
        writer.writerow(report | {"file": printable(Path(report["file"])), "warnings": codes})
        sys.stdout.flush()

    return write


class _Rate(ProgressColumn):
    """Photos a second."""

    def render(self, task: Task) -> Text:
        return Text(f"{task.speed:.1f}/s" if task.speed else "")
