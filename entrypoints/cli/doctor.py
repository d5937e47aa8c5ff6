"""Look for what is missing, with a fix for each finding."""

import asyncio
import os
import shutil
import sys
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

import click

from domain.errors import DomainError, Overloaded
from entrypoints.cli.console import as_json, show
from entrypoints.wiring.environment import ConfigurationError, load_settings
from entrypoints.wiring.photo_processing import missing_models, missing_system_libraries, sandbox_problem
from entrypoints.wiring.settings import Settings
from entrypoints.wiring.telemetry import check_tracing

MIN_FREE_BYTES = 1024**3
MAX_CLOCK_DIFFERENCE = timedelta(seconds=1)
"""Expiry is compared with this clock; nobody keeps a promise to better than a second."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at. `fix` is empty when all is well."""

    check: str
    ok: bool
    fix: str = ""


@click.command()
@as_json
def doctor(json_output: bool) -> None:
    """Check settings, libraries, models, sandbox, database, storage, clock, disk; exit code 1 when something is off."""
    try:
        settings = load_settings(os.environ)
    except ConfigurationError as error:
        findings = [
            Finding("settings", ok=False, fix=f"{problem.variable} takes {problem.takes}") for problem in error.problems
        ]
    else:
        findings = [Finding("settings", ok=True), _tracing(), *_local(settings), *asyncio.run(_remote(settings))]
    show([asdict(finding) for finding in findings], json_output=json_output, empty="")
    if not all(finding.ok for finding in findings):
        sys.exit(1)


def _tracing() -> Finding:
    try:
        check_tracing(os.environ)
    except ConfigurationError as error:
        return Finding("tracing", ok=False, fix=str(error))
    return Finding("tracing", ok=True)


def _local(settings: Settings) -> Iterator[Finding]:
    libraries = missing_system_libraries()
    yield Finding("system libraries", ok=libraries is None, fix=libraries or "")
    models = missing_models(settings)
    yield Finding("models", ok=not models, fix="Run: tryon-images models install" if models else "")
    problem = sandbox_problem()
    yield Finding("sandbox", ok=problem is None, fix=problem or "")
    if settings.keeps_files:
        folder = settings.storage_folder
        existing = next(path for path in (folder, *folder.absolute().parents) if path.exists())
        free = shutil.disk_usage(existing).free
        fix = "" if free >= MIN_FREE_BYTES else f"Free space under {existing}: {free // 1024**2} MiB are left."
        yield Finding("disk", ok=not fix, fix=fix)


async def _remote(settings: Settings) -> list[Finding]:
    from entrypoints.wiring.container import Container  # noqa: PLC0415 - only once the settings are known to be right

    container = Container(settings=settings)
    checks: dict[str, Callable[[], Awaitable[Any]]] = {
        "database": container.work().check,
        "storage": container.objects().check,
        "clock": lambda: _compare_clocks(container.clock().now, container.database_clock().now),
    }
    try:
        findings = [await _probe(name, check) for name, check in checks.items()]
        rules = container.storage_rules()
        found = await rules.check() if rules else ()
        return [*findings, *(Finding(finding.check, ok=finding.is_ok, fix=finding.fix) for finding in found)]
    finally:
        await container.engine().dispose()


async def _compare_clocks(ours: Callable[[], datetime], theirs: Callable[[], Awaitable[datetime]]) -> None:
    """Raises: Overloaded when they differ by more than replicas may."""
    before, database_time, after = ours(), await theirs(), ours()
    off_by = max(before - database_time, database_time - after)
    if off_by > MAX_CLOCK_DIFFERENCE:
        seconds = off_by.total_seconds()
        raise Overloaded(
            f"This clock and the database's differ by {seconds:.1f} s. Set both by NTP (chrony, timesyncd)."
        )


async def _probe(name: str, check: Callable[[], Awaitable[Any]]) -> Finding:
    try:
        await check()
    except Overloaded as error:
        return Finding(name, ok=False, fix=error.advice)
    except DomainError as error:
        return Finding(name, ok=False, fix=str(error))
    return Finding(name, ok=True)
