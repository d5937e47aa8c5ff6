"""Evidence for a security questionnaire: what is promised, tried on this installation and written into one archive."""

import os
import platform
import secrets
import sys
import zipfile
import zlib
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final

import click
import httpx
import msgspec

from application.erasure_receipt import key_text
from domain.audit import Action
from domain.errors import DomainError, Overloaded
from entrypoints.cli.config import settings_in_use
from entrypoints.cli.console import NEW_FILE, NOBODY_ELSE, as_json, private_file, run, show
from entrypoints.cli.doctor import attacks
from entrypoints.cli.erasures import write_receipt
from entrypoints.cli.sbom import sbom
from entrypoints.cli.upload_targets import Busy, Refused, embedded_service
from entrypoints.wiring.environment import FROM_FILE, PREFIX, ConfigurationError
from entrypoints.wiring.settings import Settings
from entrypoints.wiring.surroundings import database_file, folders_of

if TYPE_CHECKING:
    from entrypoints.wiring.container import Container

LONGEST_OVERDUE: Final = timedelta(minutes=15)
"""As the alert `TryonExpiredImagesKept`: by then somebody has to look."""
CANARY_PIXELS: Final = 64
LAST_PURGE: Final = "tryon_last_purge_timestamp_seconds"
EXPLAINED: Final = """# Evidence of {version}

Collected at {at} by `tryon-images evidence` on the installation itself. No secret, no photo of a person and no
customer's id is in this archive. The canary is a picture of noise under a random id; it was erased before this was
written.

| item | result | what was found | file |
|---|---|---|---|
{rows}

{verdict}
"""


@dataclass(frozen=True, slots=True)
class Found:
    """What one item came to; `ok` is None where this installation has nothing to look at."""

    ok: bool | None
    said: str
    facts: Any = None


@dataclass(frozen=True, slots=True)
class Item:
    """One item of the archive."""

    item: str
    result: str
    said: str
    file: str


Collect = Callable[["Container", str], Awaitable[Found]]


@click.command()
@click.option("-o", "--output", required=True, type=NEW_FILE, help="The archive to be made, FILE.zip; mode 0600.")
@click.option("--account", default="default", show_default=True, help="Name of the account that the canary is of.")
@as_json
def evidence(output: Path, account: str, json_output: bool) -> None:
    """Try what is promised on this installation, and write an archive for a security questionnaire.

    Version, settings without secrets, the sandbox attacked from inside, permissions, storage, a canary that is
    uploaded, erased and searched for in raw files, expiry and purge, and a list of all packages; summary.md says what
    passed. Exit code 1 when something failed.

    \b
    Example: tryon-images evidence -o evidence.zip
    """

    async def collect(container: "Container") -> list[Item]:
        await container.note_in_audit().execute(Action.EVIDENCE_COLLECTED)
        return await _write(file, container, account)

    with private_file(output) as file:
        items = run(collect)
    show([asdict(item) for item in items], json_output=json_output, empty="")
    if any(item.result == "fail" for item in items):
        sys.exit(1)


async def _write(file: BinaryIO, container: "Container", account: str) -> list[Item]:
    items = []
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, collect in ITEMS.items():
            click.echo(f"evidence: {name} ...", err=True)
            found = await _tried(collect, container, account)
            result = {True: "pass", False: "fail", None: "not applicable"}[found.ok]
            items.append(Item(name, result, found.said, f"{name}.json"))
            archive.writestr(f"{name}.json", msgspec.json.format(msgspec.json.encode(found.facts)))
        archive.writestr("summary.md", _summary(items, container.clock().now()))
    return items


async def _tried(collect: Collect, container: "Container", account: str) -> Found:
    """An item that cannot be collected has failed; nothing ends the others."""
    try:
        return await collect(container, account)
    except Overloaded as error:
        return Found(ok=False, said=error.advice)
    except (DomainError, Refused, Busy) as error:
        return Found(ok=False, said=str(error))
    except Exception as error:  # its text may hold a path or a URL with a password
        return Found(ok=False, said=type(error).__name__)


def _summary(items: list[Item], at: datetime) -> str:
    failed = [item.item for item in items if item.result == "fail"]
    rows = [f"| {item.item} | {item.result} | {item.said.replace('|', '/')} | {item.file} |" for item in items]
    return EXPLAINED.format(
        version=f"tryon-images {version('tryon-images')}",
        at=_text(at),
        rows="\n".join(rows),
        verdict=f"**Failed: {', '.join(failed)}.**" if failed else "**Everything that applies passed.**",
    )


async def _version(container: "Container", _account: str) -> Found:
    facts = {
        "tryonImages": version("tryon-images"),
        "python": platform.python_version(),
        "kernel": platform.platform(),
        "receiptKeys": [key_text(key) for key in container.receipt_keys().public_keys] if _can_sign(container) else [],
    }
    return Found(ok=True, said=f"{facts['tryonImages']}, Python {facts['python']}", facts=facts)


async def _settings(container: "Container", _account: str) -> Found:
    settings = container.settings()
    said = "unsandboxed decoding is allowed" if settings.allow_unsandboxed else "accepted, secrets are masked"
    return Found(not settings.allow_unsandboxed, said, settings_in_use(settings))


async def _sandbox(_container: "Container", _account: str) -> Found:
    findings = attacks()
    held = sum(finding.ok for finding in findings)
    return Found(held == len(findings), f"{held} of {len(findings)} attacks held", [*map(asdict, findings)])


async def _permissions(container: "Container", _account: str) -> Found:
    """Of the folders that are written to, all that lies directly in them, and files that secrets are read from."""
    facts = [_permission(path) for path in _kept_by(container.settings())]
    is_open = [fact["path"] for fact in facts if fact["openToOthers"]]
    said = f"{len(facts)} looked at, open to other users: {', '.join(is_open) or 'none'}"
    return Found(not is_open, said, facts)


def _kept_by(settings: Settings) -> Iterator[Path]:
    folders = [folder for folder in folders_of(settings).values() if folder.exists()]
    yield from folders
    for folder in folders:
        yield from sorted(folder.iterdir())
    names = [name for name in os.environ if name.startswith(PREFIX) and name.endswith(FROM_FILE)]
    yield from (Path(os.environ[name]).expanduser() for name in names)


def _permission(path: Path) -> dict[str, Any]:
    """In a folder that nobody else may enter, nothing is open to others, whatever its own mode says."""
    status = path.stat()
    is_open = bool(status.st_mode & NOBODY_ELSE and path.parent.stat().st_mode & NOBODY_ELSE)
    mode = f"{status.st_mode & 0o7777:04o}"
    return {"path": str(path), "mode": mode, "owner": status.st_uid, "openToOthers": is_open}


async def _storage(container: "Container", _account: str) -> Found:
    await container.objects().check()
    rules = container.storage_rules()
    if rules is None:
        return Found(ok=True, said="a folder: it can be written, and what is deleted there is gone")
    findings = await rules.check()
    off = [finding.check for finding in findings if not finding.is_ok]
    return Found(not off, f"{len(findings)} looked at, off: {', '.join(off) or 'none'}", [*map(asdict, findings)])


async def _canary(container: "Container", account: str) -> Found:
    """Uploaded as a client's photo, found in storage and raw files, erased, and looked for again."""
    canary = f"evidence-canary-{secrets.token_hex(16)}"
    found = await container.list_accounts().named(account)
    customer = container.pseudonyms().customer(found.account_id, canary)
    verify = container.verify_erasure()
    fields = {"externalUserId": canary, "crop": "false", "keepForDays": "1"}
    try:
        async with embedded_service(container, found) as target:
            await target.send(_noise(), fields, canary)
        needles = await verify.needles(customer, canary)
        before = await container.raw_files().search(needles)
        async with container.work().read() as repositories:
            stored = await repositories.images.stored_of(customer, "", 1)
        in_storage = [image.object_name for image in stored if await container.objects().get(image.object_name)]
    finally:
        outcome = await container.erase_customer().execute(customer)
    remains = await verify.execute(customer, outcome.marked, needles)
    verified = {"rowsLeft": remains.images, "objectsLeft": remains.objects, "rawFilesWithTraces": len(remains.raw.hits)}
    receipt = write_receipt(container, customer.account_id, outcome, verified) if _can_sign(container) else b"null"
    searched = f"{len(before.hits)} raw files held it before, {len(remains.raw.hits)} of {remains.raw.files} after"
    said = f"erased {outcome.images} image, left {remains.images}; in storage {len(in_storage)} before, "
    is_gone = outcome.images == 1 and outcome.bytes_left == 0 and remains.is_nothing
    could_be_seen = bool(in_storage) and bool(before.hits) == _keeps_here(container.settings())
    facts = {
        "before": asdict(before) | {"objects": in_storage},
        "after": asdict(remains),
        "receipt": msgspec.json.decode(receipt),
    }
    return Found(is_gone and could_be_seen, f"{said}{remains.objects} after; {searched}", facts)


def _keeps_here(settings: Settings) -> bool:
    """Whether photos or rows are in files of this machine; a bucket and a PostgreSQL keep theirs elsewhere."""
    return settings.keeps_files or database_file(settings) is not None


def _can_sign(container: "Container") -> bool:
    try:
        return bool(container.receipt_keys())
    except ConfigurationError:  # said by `customers erase --receipt`; no promise depends on it
        return False


def _noise() -> bytes:
    """A PNG that no other picture is like."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return len(data).to_bytes(4, "big") + kind + data + zlib.crc32(kind + data).to_bytes(4, "big")

    rows = b"".join(b"\0" + secrets.token_bytes(3 * CANARY_PIXELS) for _ in range(CANARY_PIXELS))
    header = CANARY_PIXELS.to_bytes(4, "big") * 2 + bytes((8, 2, 0, 0, 0))
    chunks = chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


async def _expiry(container: "Container", _account: str) -> Found:
    now = container.clock().now()
    async with container.work().read() as repositories:
        overdue = await repositories.images.overdue(now)
        open_erasures = await repositories.erasures.count_open()
    oldest = overdue.oldest.total_seconds()
    facts = {
        "overdueImages": overdue.images,
        "oldestOverdueSeconds": oldest,
        "erasuresOpen": open_erasures,
        "lastPurgeAt": await _last_purge(container),
    }
    last = facts["lastPurgeAt"] or "not known, no service of this machine says it"
    said = f"{overdue.images} images overdue, the oldest for {oldest:.0f} s; last purge: {last}"
    return Found(overdue.oldest <= LONGEST_OVERDUE, said, facts)


async def _last_purge(container: "Container") -> str | None:
    settings = container.settings()
    own = f"http://{settings.metrics_host}:{settings.metrics_port}" if settings.metrics_port else settings.own_url
    with suppress(httpx.HTTPError):
        async with httpx.AsyncClient(trust_env=False, timeout=2) as client:
            return next(_instants((await client.get(f"{own}/metrics")).text), None)
    return None


def _instants(metrics: str) -> Iterator[str]:
    for line in metrics.splitlines():
        if line.startswith(LAST_PURGE):
            with suppress(ValueError, OverflowError):
                yield _text(datetime.fromtimestamp(float(line.rpartition(" ")[2]), UTC))


def _text(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")


async def _sbom(container: "Container", _account: str) -> Found:
    facts = sbom(container.clock().now())
    return Found(ok=True, said=f"{len(facts['components'])} packages", facts=facts)


ITEMS: Final[dict[str, Collect]] = {
    "version": _version,
    "settings": _settings,
    "sandbox": _sandbox,
    "permissions": _permissions,
    "storage": _storage,
    "canary": _canary,
    "expiry": _expiry,
    "sbom": _sbom,
}
