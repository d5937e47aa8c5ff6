"""Upload photos by the hundred: resumable, with progress for people and lines for machines."""

import asyncio
import csv
import hashlib
import json
import os
import sys
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import click
import httpx
import msgspec
from rich.progress import ProgressColumn, Task
from rich.text import Text

from domain.account import Account
from domain.erasure import Action
from domain.errors import DomainError, IdempotencyKeyInUse, Overloaded
from entrypoints.cli.console import (
    DAYS,
    EXIT_FAILED,
    EXIT_UNAVAILABLE,
    EXIT_USAGE,
    FILE,
    Advance,
    as_json,
    expect_texts,
    fail,
    in_account,
    printable,
    progress,
    run,
)
from entrypoints.cli.photo_files import Batch, find_photos, photo_arguments, read_photo
from entrypoints.wiring.settings import API_PATH, UPLOAD_PATH

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
SECONDS: Final = 120
BUSY: Final = frozenset({408, 429, 500, 502, 503, 504})
Report = dict[str, Any]
Body = Mapping[str, Any]
Send = Callable[[bytes, Mapping[str, str], str], Awaitable[Body]]
"""Takes a photo, the form fields of an upload, and an idempotency key; returns the body of the contract's answer.

Raises: Refused, DomainError: for good. Busy.
"""


class Refused(Exception):
    """The photo, or the request, was refused for good."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class Busy(Refused):
    """Another try can help, after `seconds` if they are known."""

    def __init__(self, code: str, message: str, seconds: float | None = None) -> None:
        super().__init__(code, message)
        self.seconds = seconds


def service_url(text: str) -> str:
    """Of a running service, without the path of its API."""
    try:
        parts = urlsplit(text)
        is_url = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:  # no port, or no address
        is_url = False
    is_url &= text.isprintable() and " " not in text
    if not is_url:
        raise click.BadParameter("must begin with https:// or http://, then a host")
    return text.rstrip("/").removesuffix(API_PATH)


@click.command()
@photo_arguments
@click.option(
    "--to",
    "url",
    type=service_url,
    metavar="URL",
    help="A running service. Without it: the embedded one of this machine.",
)
@click.option("--key-file", type=FILE, help="Holds the API key; else $API_KEY does.")
@in_account("Account of the embedded service.")
@click.option("--external-user-id", "externalUserId", metavar="ID", help="The person whose photos these are.")
@click.option("--keep-for-days", "keepForDays", type=DAYS, help="Retention; else the account's.")
@click.option("--no-crop", "crop", flag_value="false", help="Keep the framing.")
@click.option("--fit", type=click.Choice(["crop", "pad"]), help="What to do when no window holds the whole person.")
@click.option("--at-once", type=click.IntRange(1, 32), default=4, show_default=True, help="Photos at a time.")
@as_json
@click.option("--csv", "csv_output", is_flag=True, help="Print CSV.")
def upload(  # noqa: PLR0917 - click calls it by keyword
    photos: tuple[Path, ...],
    url: str | None,
    key_file: Path | None,
    account: str,
    at_once: int,
    json_output: bool,
    csv_output: bool,
    **options: str | None,
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
    expect_texts()
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
    key = key_file.read_text(errors="replace").strip() if key_file else os.environ.get(KEY_VARIABLE, "")
    if not (key.isascii() and key.isprintable()):
        fail("That is no API key: it holds other characters than keys do.", EXIT_USAGE)
    if not key:
        fail(
            f"The API key is missing. Put it into a file and name it by --key-file, or set {KEY_VARIABLE}.", EXIT_USAGE
        )
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

    async def into(self, opening: AbstractAsyncContextManager[Send]) -> None:
        waiting = iter(self.batch.photos)
        with progress("Uploading", len(self.batch.photos), _Rate()) as advance:
            async with opening as send:
                senders = [asyncio.create_task(self._send(send, waiting, advance)) for _ in range(self.at_once)]
                try:
                    await asyncio.gather(*senders)
                finally:
                    for sender in senders:
                        sender.cancel()
                    await asyncio.gather(*senders, return_exceptions=True)

    async def _send(self, send: Send, waiting: Iterator[Path], advance: Advance) -> None:
        """One of `at_once`, who all take from `waiting`: no more photos than that are in memory."""
        for path in waiting:
            report = await self._one(send, path)
            self.counts[report.get("error", "uploaded")] += 1
            self.warnings.update(warning["code"] for warning in report.get("warnings", ()))
            self.write(report)
            advance(self.counts.total())
            if self.is_over:
                return

    async def _one(self, send: Send, path: Path) -> Report:
        report: Report = {"file": str(path)}
        try:
            photo = await asyncio.to_thread(read_photo, path, MAX_BYTES)
            return {**report, **await self._patiently(send, photo)}
        except Busy as error:
            self.is_over = True
            return report | {"error": error.code, "message": str(error)}
        except (Refused, DomainError) as error:
            return report | {"error": error.code, "message": str(error)}

    async def _patiently(self, send: Send, photo: bytes) -> Mapping[str, Any]:
        """Raises: Refused; Busy, when nothing has changed for too long."""
        key = hashlib.sha256(photo + repr(sorted(self.fields.items())).encode()).hexdigest()
        now, pauses = asyncio.get_running_loop().time, iter(PAUSES)
        give_up_at = now() + PATIENCE_SECONDS
        while True:
            try:
                return await send(photo, self.fields, f"upload-{key}")
            except Busy as busy:
                pause = next(pauses, None) if busy.seconds is None else busy.seconds
                if pause is None or now() + pause > give_up_at:
                    raise
                await asyncio.sleep(pause)

    def summarize(self) -> None:
        """On standard error; leaves with an exit code when something was refused."""
        uploaded = self.counts.pop("uploaded", 0)
        results = [f"{uploaded} uploaded", *(f"{count} {code}" for code, count in self.counts.most_common())]
        if not_tried := len(self.batch.photos) - self.counts.total() - uploaded:
            results.append(f"{not_tried} not tried")
        self.batch.summarize(results, self.warnings)
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


@asynccontextmanager
async def running_service(url: str, key: str) -> AsyncIterator[Send]:
    """The one at `url`, as a client of it."""
    async with httpx.AsyncClient(base_url=url, headers={"x-api-key": key}, timeout=SECONDS) as client:
        yield partial(_post, client)


async def _post(client: httpx.AsyncClient, photo: bytes, fields: Mapping[str, str], idempotency_key: str) -> Body:
    """By the HTTP contract. No file name is sent: the service has no use for it."""
    try:
        answer = await client.post(
            UPLOAD_PATH,
            files={"file": ("photo", photo)},
            data=dict(fields),
            headers={"idempotency-key": idempotency_key},
        )
    except httpx.HTTPError as error:
        raise Busy("UNREACHABLE", f"{client.base_url} does not answer ({type(error).__name__}).") from None
    pause = answer.headers.get("retry-after")
    if answer.status_code in BUSY or pause is not None:
        raise Busy(*_error(answer), _seconds(pause))
    if answer.status_code != httpx.codes.CREATED:
        raise Refused(*_error(answer))
    body: Body = answer.json()
    return body


def _error(answer: httpx.Response) -> tuple[str, str]:
    """Code and message; of whatever stands in front of the service, too."""
    try:
        body = answer.json()
        return str(body["code"]), str(body["message"])
    except (ValueError, KeyError, TypeError):
        return f"HTTP_{answer.status_code}", "This is no answer of tryon-images. Is the URL right?"


def _seconds(retry_after: str | None) -> float | None:
    return float(retry_after) if retry_after and retry_after.isascii() and retry_after.isdigit() else None


@asynccontextmanager
async def embedded_service(container: "Container", account: Account) -> AsyncIterator[Send]:
    """The service of this machine, without a server; its photo workers run as long as the block."""
    processor = container.processor()
    await processor.start()
    try:
        yield partial(_keep, container, account)
    finally:
        await processor.close()


async def _keep(
    container: "Container", account: Account, photo: bytes, fields: Mapping[str, str], idempotency_key: str
) -> Body:
    """By the very same use case; also while a server runs on the same folder."""
    from entrypoints.http.schemas import ImageBody  # noqa: PLC0415 - a second that other commands do not need
    from entrypoints.http.upload_form import UploadForm  # noqa: PLC0415

    form = UploadForm(photo, {name: [value.encode()] for name, value in fields.items()})
    try:
        command = form.to_command(account, idempotency_key, container.pseudonyms())
        linked = await container.upload_photo().execute(command)
    except (Overloaded, IdempotencyKeyInUse) as error:
        raise Busy(error.code, str(error)) from None
    body: Body = msgspec.to_builtins(ImageBody.of(linked))
    return body
