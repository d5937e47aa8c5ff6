"""Start the service: bring everything into place, then become the server process."""

import os
import sys
from typing import TYPE_CHECKING, Final

import click

from application.authenticate import DEFAULT_ACCOUNT
from domain.errors import AccountExists
from domain.retention import RetentionPolicy
from entrypoints.cli.console import fail, or_fail, run, settings_or_fail
from entrypoints.wiring.photo_processing import missing_models, missing_system_libraries
from entrypoints.wiring.surroundings import expect_free_port
from entrypoints.wiring.telemetry import check_tracing

if TYPE_CHECKING:
    from entrypoints.wiring.container import Container

MEMORY: Final = {
    "MALLOC_ARENA_MAX": "2",
    "MALLOC_MMAP_THRESHOLD_": str(16 * 1024 * 1024),
    "MALLOC_TRIM_THRESHOLD_": str(32 * 1024 * 1024),
}
"""For glibc's malloc, unless the operator has set it. It keeps the memory of a few uploads at hand: fresh pages for
4 MB cost more than all that the server does with them."""


@click.command()
def serve() -> None:
    """Serve the HTTP API.

    Migrates an SQLite database by itself; PostgreSQL is migrated by `tryon-images db upgrade`. On the first start a
    default account is made and its API key printed, once.

    \b
    Example: TRYON_PORT=9000 TRYON_DATA_DIR=/var/lib/tryon tryon-images serve
    """
    settings = settings_or_fail()
    or_fail(lambda: check_tracing(os.environ))
    or_fail(lambda: expect_free_port(settings))
    if advice := missing_system_libraries():
        fail(advice)
    if missing_models(settings):
        fail("The models are not installed. Run: tryon-images models install")
    if key := run(_first_run):
        click.echo(f"\nYour API key, shown only this once:\n\n    {key}\n")
    click.echo(f"tryon-images listens on http://{settings.host}:{settings.port} (stop with Ctrl-C)")
    sys.stdout.flush()
    # A fresh process: the server keeps none of the memory that the preparation took.
    arguments = [sys.executable, "-P", "-m", "entrypoints.server.process"]
    os.execve(sys.executable, arguments, MEMORY | os.environ)  # noqa: S606 - fixed arguments


async def _first_run(container: "Container") -> str | None:
    """Returns: the new key when there was no account yet."""
    migrator = container.migrator()
    if migrator.is_embedded:
        await migrator.upgrade()
    if await container.list_accounts().accounts():
        return None
    try:
        await container.create_account().execute(DEFAULT_ACCOUNT, RetentionPolicy(7))
    except AccountExists:  # another replica that starts just now was faster, and prints the key
        return None
    made = await container.create_key().execute(DEFAULT_ACCOUNT, "made on the first start")
    return str(made.secret)
