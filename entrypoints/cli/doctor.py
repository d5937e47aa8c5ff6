"""Look for what is missing, with a fix for each finding."""

import asyncio
import os
import shutil
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click
import httpx

from domain.errors import DomainError, Overloaded
from entrypoints.cli.console import EXIT_FAILED, NOBODY_ELSE, Answer, answers
from entrypoints.server.logging import configure_logging
from entrypoints.server.metrics_server import room_problem
from entrypoints.wiring.environment import ConfigurationError, are_traces_wanted, load_settings
from entrypoints.wiring.photo_processing import (
    SandboxUnavailable,
    attack_sandbox,
    missing_models,
    missing_system_libraries,
    optional_libraries,
    sample_photos,
    sandbox_facts,
    sandbox_problem,
)
from entrypoints.wiring.settings import Settings
from entrypoints.wiring.surroundings import expect_free_port, folders_of, prepare_folders

if TYPE_CHECKING:
    from entrypoints.wiring.container import Container

MIN_FREE_BYTES: Final = 1024**3
MAX_CLOCK_DIFFERENCE: Final = timedelta(seconds=1)
"""Expiry is compared with this clock; nobody keeps a promise to better than a second."""
PROBE_SECONDS: Final = 60


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at. `fix` is empty when all is well."""

    check: str
    ok: bool
    found: str = ""
    fix: str = ""


class Unwell(Exception):
    """Something is off; the text says what to do."""


@click.command()
@click.option("--sandbox", is_flag=True, help="Also attack the sandbox from inside, harmlessly.")
@answers
def doctor(sandbox: bool) -> Answer:
    """Check all that the service needs, and decode a photo of each format in the sandbox; exit code 1 when one is off.

    Settings, libraries, models, sandbox, folders, disk, port, page, database, storage, clock, engine, formats. An
    engine is sent no picture. The data folder is made if it is missing.
    """
    try:
        settings = load_settings(os.environ)
    except ConfigurationError as error:
        findings = [
            Finding(problem.variable, ok=False, found=problem.holds, fix=f"takes {problem.takes}")
            for problem in error.problems
        ]
    else:
        configure_logging("warning")
        findings = [Finding("settings", ok=True), *_local(settings), *asyncio.run(_remote(settings))]
        findings += attacks() if sandbox else []
    all_ok = all(finding.ok for finding in findings)
    return Answer([asdict(finding) for finding in findings], code=0 if all_ok else EXIT_FAILED)


def _local(settings: Settings) -> Iterator[Finding]:
    yield _looked_at("tracing", _look_at_tracing)
    for name, version, without in optional_libraries():
        yield Finding(f"optional: {name}", ok=True, found=f"{version or 'not there'}; without it {without}")
    yield _looked_at("system libraries", lambda: _expect_nothing(missing_system_libraries()))
    yield _looked_at("models", lambda: _expect_models(settings))
    yield _looked_at("sandbox", _expect_sandbox)
    yield _looked_at("folders", lambda: prepare_folders(settings))
    for variable, folder in folders_of(settings).items():
        yield _looked_at(f"folder of {variable}", partial(_look_at_folder, folder))
        yield _looked_at(f"disk of {variable}", partial(_look_at_disk, folder))
    yield _looked_at("temporary folder", _look_at_temporary_folder)
    yield _looked_at("shared memory", lambda: _expect_nothing(room_problem()))
    yield _looked_at("port", lambda: _look_at_port(settings))
    yield Finding("page", ok=True, found=f"{settings.base_url}/" if settings.shows_playground else "off")


def _looked_at(check: str, look: Callable[[], str | None]) -> Finding:
    try:
        return Finding(check, ok=True, found=look() or "")
    except Exception as error:
        return _failed(check, error)


async def _probed(check: str, probe: Callable[[], Awaitable[str | None]]) -> Finding:
    try:
        async with asyncio.timeout(PROBE_SECONDS):
            return Finding(check, ok=True, found=await probe() or "")
    except TimeoutError:
        return Finding(check, ok=False, fix=f"It did not answer within {PROBE_SECONDS} seconds.")
    except Exception as error:
        return _failed(check, error)


def _failed(check: str, error: Exception) -> Finding:
    match error:
        case ConfigurationError(problems=(problem, *_)):
            return Finding(check, ok=False, found=problem.holds, fix=f"{problem.variable} takes {problem.takes}")
        case Overloaded(advice=advice):
            return Finding(check, ok=False, fix=advice)
        case DomainError() | Unwell():
            return Finding(check, ok=False, fix=str(error))
        case _:
            first_line = next(iter(str(error).splitlines()), "")[:200]
            return Finding(check, ok=False, found=type(error).__name__, fix=first_line)


async def _remote(settings: Settings) -> list[Finding]:
    # Only once the settings are known to be right:
    from entrypoints.wiring.container import Container, probe_engine  # noqa: PLC0415

    container = Container(settings=settings)
    checks: dict[str, Callable[[], Awaitable[str | None]]] = {
        "database": lambda: container.work().check(),
        "storage": lambda: container.objects().check(),
        "clock": lambda: _compare_clocks(container.clock().now, container.database_clock().now),
        "engine": lambda: probe_engine(settings),
        "pseudonym keys": lambda: _expect_keys(container),
    }
    try:
        findings = [await _probed(name, check) for name, check in checks.items()]
        findings += await _rules(container)
        return [*findings, *await _photos(container)]
    finally:
        await container.engine().dispose()


async def _expect_keys(container: "Container") -> str:
    prefixes = container.pseudonyms().prefixes
    async with container.work().read() as repositories:
        lost = await repositories.images.under_other_keys(prefixes)
    if lost.until:
        raise Unwell(
            f"{lost.images} images are kept under a key that is not at hand: no erasure by a customer's id finds them."
            f" Put it back behind the first key of TRYON_PSEUDONYM_KEY; without it the last is gone on {lost.until:%F}."
        )
    return f"{len(prefixes)}, and every image is under one of them"


async def _rules(container: "Container") -> list[Finding]:
    async def look() -> str | None:
        rules = container.storage_rules()
        found.extend(await rules.check() if rules else ())
        return None

    found: list[Any] = []
    whole = await _probed("storage rules", look)
    return [Finding(rule.check, ok=rule.is_ok, fix=rule.fix) for rule in found] if whole.ok else [whole]


async def _photos(container: "Container") -> list[Finding]:
    """What an upload does with one photo of each format, in the real sandbox."""
    processor = container.processor()
    started = await _probed("photo workers", processor.start)
    if not started.ok:
        return [started]

    async def decode(photo: bytes) -> str:
        prepared = await processor.prepare(photo, crop=False)
        return f"{prepared.facts.source_size.width} x {prepared.facts.source_size.height} decoded"

    try:
        return [await _probed(f"{kind} photo", partial(decode, photo)) for kind, photo in sample_photos().items()]
    finally:
        await processor.close()


async def _compare_clocks(ours: Callable[[], datetime], theirs: Callable[[], Awaitable[datetime]]) -> str:
    """Raises: Overloaded when they differ by more than replicas may."""
    before, database_time, after = ours(), await theirs(), ours()
    off_by = max(before - database_time, database_time - after)
    if off_by > MAX_CLOCK_DIFFERENCE:
        seconds = off_by.total_seconds()
        raise Overloaded(
            f"This clock and the database's differ by {seconds:.1f} s. Set both by NTP (chrony, timesyncd)."
        )
    return f"{max(off_by, timedelta()).total_seconds():.3f} s apart from the database's"


def _look_at_tracing() -> None:
    are_traces_wanted(os.environ)


def _expect_nothing(problem: str | None) -> None:
    if problem:
        raise Unwell(problem)


def _expect_sandbox() -> str:
    _expect_nothing(sandbox_problem())
    return sandbox_facts()


def attacks() -> list[Finding]:
    """What somebody who has taken over a process would try first, tried in both kinds of processes."""
    try:
        outcomes = attack_sandbox()
    except SandboxUnavailable as error:
        return [Finding("attacks", ok=False, fix=str(error))]
    return [
        Finding(f"{process}: {attack}", ok=held, found=outcome, fix="" if held else "The sandbox has a hole here.")
        for process, attack, outcome, held in outcomes
    ]


def _expect_models(settings: Settings) -> str:
    if missing := missing_models(settings):
        raise Unwell(f"Run: tryon-images models install (missing or damaged: {', '.join(missing)})")
    return str(settings.model_dir.expanduser())


def _look_at_folder(folder: Path) -> str:
    there = _existing(folder)
    if not os.access(there, os.W_OK | os.X_OK):
        raise Unwell(f"User {os.geteuid()} may not write to {there}. Run: chown {os.geteuid()} {there}")
    if not (folder.exists() and _is_open(folder)):
        return str(folder)
    if bare := sorted(path.name for path in folder.iterdir() if path.is_file() and _is_open(path)):
        raise Unwell(f"Other users may read {', '.join(bare)}. Run: chmod 700 {folder}")
    return f"{folder}, into which other users may look"


def _is_open(path: Path) -> bool:
    return bool(path.stat().st_mode & NOBODY_ELSE)


def _look_at_disk(folder: Path) -> str:
    free = shutil.disk_usage(_existing(folder)).free
    if free < MIN_FREE_BYTES:
        raise Unwell(f"Free space under {_existing(folder)}: {free // 1024**2} MiB are left.")
    return f"{free / 1024**3:.1f} GiB free"


def _existing(folder: Path) -> Path:
    return next(path for path in (folder, *folder.parents) if os.path.lexists(path))


def _look_at_temporary_folder() -> str:
    try:
        with tempfile.TemporaryFile() as file:
            file.write(b"probe")
            file.flush()
    except OSError as error:
        raise Unwell(f"Nothing can be written to it ({error.strerror}). Set TMPDIR to a folder that can.") from None
    return tempfile.gettempdir()


def _look_at_port(settings: Settings) -> str:
    try:
        expect_free_port(settings)
    except ConfigurationError:
        if _answers(settings):
            return f"{settings.port}: a tryon-images service runs there"
        raise
    return f"{settings.port} is free"


def _answers(settings: Settings) -> bool:
    try:
        answer = httpx.get(f"{settings.own_url}/health/live", timeout=2, trust_env=False)
        return bool(answer.json()["status"] == "live")
    except (httpx.HTTPError, ValueError, LookupError, TypeError):
        return False
