"""Evidence for a security questionnaire: what is promised, tried on this installation and written into one archive."""

import io
import os
import platform
import secrets
import uuid
import zipfile
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from importlib.metadata import Distribution, distributions, version
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final

import click
import httpx
import msgspec

from application.customer_holdings import key_text
from domain.erasure import Action
from domain.errors import DomainError, Overloaded
from entrypoints.cli.config import settings_in_use
from entrypoints.cli.console import (
    EXIT_FAILED,
    NEW_FILE,
    NOBODY_ELSE,
    Answer,
    answers,
    in_account,
    private_file,
    rfc3339,
    run,
)
from entrypoints.cli.doctor import attacks
from entrypoints.cli.records import write_receipt
from entrypoints.cli.upload import Refused, embedded_service
from entrypoints.wiring.environment import SECRET_FILES, ConfigurationError
from entrypoints.wiring.settings import Settings
from entrypoints.wiring.surroundings import folders_of

if TYPE_CHECKING:
    from entrypoints.wiring.container import Container

LONGEST_OVERDUE: Final = timedelta(minutes=15)
"""As the alert `TryonExpiredImagesKept`: by then somebody has to look."""
CANARY_PIXELS: Final = 64
LAST_PURGE: Final = "tryon_last_purge_timestamp_seconds"
SPECIFICATION: Final = "http://cyclonedx.org/schema/bom-1.5.schema.json"
OURS: Final = "tryon-images"
LONGEST_NAME: Final = 100
"""Some packages put the whole text of their license where its name belongs."""
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
    """What one item came to."""

    ok: bool
    said: str
    facts: Any = None


Collect = Callable[["Container", str], Awaitable[Found]]


@click.command()
@click.option("-o", "--output", required=True, type=NEW_FILE, help="The archive to be made, FILE.zip; mode 0600.")
@in_account("Name of the account that the canary is of.")
@answers
def evidence(output: Path, account: str) -> Answer:
    """Try what is promised on this installation, and write an archive for a security questionnaire.

    Version, settings without secrets, the sandbox attacked from inside, permissions, storage, a canary that is
    uploaded, erased and searched for in raw files, expiry and purge, and a list of all packages; summary.md says what
    passed. Exit code 1 when something failed.

    \b
    Example: tryon-images evidence -o evidence.zip
    """

    async def collect(container: "Container") -> list[dict[str, str]]:
        await container.note_in_audit().execute(Action.EVIDENCE_COLLECTED)
        return await _write(file, container, account)

    with private_file(output) as file:
        items = run(collect)
    return Answer(items, code=EXIT_FAILED if any(item["result"] == "fail" for item in items) else 0)


async def _write(file: BinaryIO, container: "Container", account: str) -> list[dict[str, str]]:
    items = []
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, collect in ITEMS.items():
            click.echo(f"evidence: {name} ...", err=True)
            found = await _tried(collect, container, account)
            result = "pass" if found.ok else "fail"
            items.append({"item": name, "result": result, "said": found.said, "file": f"{name}.json"})
            archive.writestr(f"{name}.json", msgspec.json.format(msgspec.json.encode(found.facts)))
        archive.writestr("summary.md", _summary(items, container.clock().now()))
    return items


async def _tried(collect: Collect, container: "Container", account: str) -> Found:
    """An item that cannot be collected has failed; nothing ends the others."""
    try:
        return await collect(container, account)
    except Overloaded as error:
        return Found(ok=False, said=error.advice)
    except (DomainError, Refused) as error:
        return Found(ok=False, said=str(error))
    except Exception as error:  # its text may hold a path or a URL with a password
        return Found(ok=False, said=type(error).__name__)


def _summary(items: list[dict[str, str]], at: datetime) -> str:
    failed = [item["item"] for item in items if item["result"] == "fail"]
    rows = [f"| {' | '.join(said.replace('|', '/') for said in item.values())} |" for item in items]
    return EXPLAINED.format(
        version=f"tryon-images {version('tryon-images')}",
        at=rfc3339(at),
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
    yield from (Path(os.environ[name]).expanduser() for name in sorted(SECRET_FILES & os.environ.keys()))


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
        async with embedded_service(container, found) as send:
            await send(_noise(), fields, canary)
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
    return settings.keeps_files or settings.database_file is not None


def _can_sign(container: "Container") -> bool:
    try:
        return bool(container.receipt_keys())
    except ConfigurationError:  # said by `customers erase --receipt`; no promise depends on it
        return False


def _noise() -> bytes:
    """A PNG that no other picture is like."""
    from PIL import Image  # noqa: PLC0415 - only this command makes a picture

    picture = io.BytesIO()
    noise = secrets.token_bytes(3 * CANARY_PIXELS**2)
    Image.frombytes("RGB", (CANARY_PIXELS, CANARY_PIXELS), noise).save(picture, "PNG")
    return picture.getvalue()


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
    with suppress(httpx.HTTPError, ValueError, OverflowError, StopIteration):
        async with httpx.AsyncClient(trust_env=False, timeout=2) as client:
            metrics = (await client.get(f"{own}/metrics")).text
        line = next(line for line in metrics.splitlines() if line.startswith(LAST_PURGE))
        return rfc3339(datetime.fromtimestamp(float(line.rpartition(" ")[2]), UTC))
    return None


async def _sbom(container: "Container", _account: str) -> Found:
    facts = sbom(container.clock().now())
    return Found(ok=True, said=f"{len(facts['components'])} packages", facts=facts)


def sbom(made_at: datetime) -> dict[str, Any]:
    """Software bill of materials of what is installed here, as CycloneDX 1.5 JSON: every package once, by its name.

    `make sbom` makes one of what is locked. This one is of the environment that runs.
    """
    found = {_package_name(each): each for each in distributions() if each.metadata["Name"]}
    return {
        "$schema": SPECIFICATION,
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "serialNumber": uuid.uuid4().urn,
        "version": 1,
        "metadata": {
            "timestamp": rfc3339(made_at),
            "component": {"type": "application", "bom-ref": OURS, "name": OURS, "version": version(OURS)},
        },
        "components": [_component(name, found[name]) for name in sorted(found) if name != OURS],
    }


def _package_name(package: Distribution) -> str:
    """As in package URLs: small letters, no underscores."""
    return package.metadata["Name"].lower().replace("_", "-").replace(".", "-")


def _component(name: str, package: Distribution) -> dict[str, Any]:
    purl = f"pkg:pypi/{name}@{package.version}"
    component = {"type": "library", "bom-ref": purl, "name": name, "version": package.version, "purl": purl}
    return component | _licenses(package)


def _licenses(package: Distribution) -> dict[str, Any]:
    if expressions := _said(package, "License-Expression"):
        return {"licenses": [{"expression": expressions[0]}]}
    classes = [each.rpartition(" :: ")[2] for each in _said(package, "Classifier") if each.startswith("License ::")]
    names = classes or [text for text in _said(package, "License") if len(text) <= LONGEST_NAME and "\n" not in text]
    return {"licenses": [{"license": {"name": name}} for name in names]} if names else {}


def _said(package: Distribution, field: str) -> list[str]:
    return [str(value) for value in package.metadata.get_all(field, []) if value]


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
