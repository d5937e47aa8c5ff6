"""The settings, as this command would use them, and what there is to set."""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import click

from entrypoints.cli.console import Answer, answers, settings_or_fail
from entrypoints.wiring.environment import FIELDS, FROM_FILE, given_texts, meaning, shown, takes
from entrypoints.wiring.photo_processing import default_workers
from entrypoints.wiring.settings import SECRETS, SECTIONS, Settings

HEADER: Final = """# Settings

Every setting is an environment variable. An empty variable counts as not set. One that begins with `TRYON_` and is
no setting stops the start, and so does a value that does not fit: all of them are listed at once. `TRYON_URL`,
`TRYON_KEY` and `TRYON_API_KEY`, which guides and samples use for clients, are ignored.
`tryon-images config show` prints the values in use and where each comes from.
This page is made by `tryon-images config reference`.
"""
SECRETS_SECTION: Final = """
## Secrets as files

{names} may each be the content of a file instead: `TRYON_SIGNING_KEY_FILE=/run/secrets/signing-key`. White space
around the content is dropped. Values are never shown.

## Kubernetes

A Service called `tryon-images` makes Kubernetes put `TRYON_IMAGES_PORT=tcp://10.0.0.1:80` and the like into every
pod of its namespace. They are recognized by their form and ignored, with one line in the log.
"""


@click.group()
def config() -> None:
    """The settings, which come from TRYON_* variables."""


@config.command("show")
@answers
def show_config() -> Answer:
    """Show every setting as it is in use and where it comes from; exit code 4 lists everything that is wrong.

    Secrets and passwords in URLs are masked.

    \b
    Example: tryon-images config show --json
    """
    return Answer(settings_in_use(settings_or_fail()))


def settings_in_use(settings: Settings) -> list[dict[str, str]]:
    """Variable, value without secrets, and source of each."""
    given, _ = given_texts(os.environ)
    return [
        {
            "variable": variable,
            "value": shown(variable, value) if variable in given else value,
            "source": _source(variable, given),
        }
        for variable, value in _in_use(settings)
    ]


@config.command("reference")
def reference() -> None:
    """Print every setting with its default, what it takes and what it means, as Markdown."""
    lines = [HEADER]
    for variable, field in FIELDS.items():
        if field.name in SECTIONS:
            lines += [f"\n## {SECTIONS[field.name]}\n", "| variable | default | takes | meaning |", "|---|---|---|---|"]
        default = f"`{_written(field.default)}`" if field.default is not None else ""
        lines.append(f"| `{variable}` | {default} | {takes(variable)} | {meaning(variable)} |")
    names = [f"`{variable}`" for variable, field in FIELDS.items() if field.name in SECRETS]
    lines.append(SECRETS_SECTION.format(names=f"{', '.join(names[:-1])} and {names[-1]}"))
    click.echo("\n".join(lines), nl=False)


def _source(variable: str, given: Mapping[str, str]) -> str:
    if variable not in given:
        return "default"
    file = os.environ.get(variable + FROM_FILE)
    return f"file {file}" if file and FIELDS[variable].name in SECRETS else "environment"


def _in_use(settings: Settings) -> Iterator[tuple[str, str]]:
    follows: dict[str, object] = {
        "public_url": settings.base_url,
        "playground": settings.shows_playground,
        "database_url": settings.resolved_database_url,
        "storage_url": f"file://{settings.storage_folder.absolute()}",
        "preview_links": "service" if settings.serves_previews else "storage",
        "workers": default_workers(),
        "drain_seconds": settings.seconds_to_drain,
    }
    for variable, field in FIELDS.items():
        value = getattr(settings, field.name)
        if isinstance(value, Path):
            value = value.expanduser().absolute()
        yield variable, _written(follows.get(field.name) if value is None else value)


def _written(value: Any) -> str:
    """As a person would set it."""
    if isinstance(value, bool):
        return "on" if value else "off"
    return "" if value is None else str(value)
