"""Run generations without serving HTTP, on as many machines as there is work for."""

import asyncio
import os
import signal
from typing import TYPE_CHECKING, Final

import click

from entrypoints.cli.console import run, settings_or_fail
from entrypoints.server.background import generating, in_time, supervised
from entrypoints.server.metrics_server import serve_metrics
from entrypoints.wiring.surroundings import leave_folder

if TYPE_CHECKING:
    from entrypoints.wiring.container import Container

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
    leave_folder(settings_or_fail(), os.environ)
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
