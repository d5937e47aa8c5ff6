"""The settings, as this command would use them."""

import json

import click

from entrypoints.cli.console import as_json, settings_or_fail
from entrypoints.wiring.settings import masked


@click.group()
def config() -> None:
    """The settings, which come from TRYON_* variables."""


@config.command("show")
@as_json
def show_config(json_output: bool) -> None:
    """Show every setting as it is now, secrets masked; exit code 4 lists everything that is wrong.

    \b
    Example: tryon-images config show --json
    """
    values = masked(settings_or_fail())
    if json_output:
        click.echo(json.dumps(values, indent=2))
        return
    for name, value in values.items():
        click.echo(f"{name}={value}")
