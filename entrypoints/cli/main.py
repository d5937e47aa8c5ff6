"""`tryon-images`: serve photos, and look after what is kept."""

from importlib.resources import files
from typing import Final

import click
from click.shell_completion import shell_complete

from entrypoints.cli.accounts import accounts, keys
from entrypoints.cli.config import config
from entrypoints.cli.crop import crop
from entrypoints.cli.customers import customers
from entrypoints.cli.doctor import doctor
from entrypoints.cli.evidence import evidence
from entrypoints.cli.records import audit, verify_receipt
from entrypoints.cli.serve import models, serve, worker
from entrypoints.cli.storage import db, images, purge, reconcile, storage
from entrypoints.cli.upload import upload

FOLDER: Final = files("entrypoints") / "observability"


@click.group()
def observability() -> None:
    """Alert rules and a dashboard, to be kept where yours are."""


@observability.command("alerts")
def alerts() -> None:
    """Print rules for Prometheus.

    \b
    Example: tryon-images observability alerts > /etc/prometheus/rules/tryon-images.yaml
    """
    click.echo((FOLDER / "alerts.yaml").read_text(), nl=False)


@observability.command("dashboard")
def dashboard() -> None:
    """Print a dashboard for Grafana.

    \b
    Example: tryon-images observability dashboard > tryon-images.json
    """
    click.echo((FOLDER / "dashboard.json").read_text(), nl=False)


PROGRAM = "tryon-images"
VARIABLE = "_TRYON_IMAGES_COMPLETE"
"""Click's own name for it, made of the program's."""


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="tryon-images")
def main() -> None:
    """Turn customers' photos into try-on images, keep them as long as promised, erase them on request.

    \b
    Settings come from TRYON_* variables; docs/settings.md lists them.
    Exit codes: 0 done, 1 failed, 2 wrong usage, 3 database or storage down, 4 wrong configuration.

    \b
    Examples:
      tryon-images serve
      tryon-images keys create --account default --name kiosk-7
      tryon-images purge --json
    """


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print what completes commands in SHELL, for its start-up file.

    \b
    Examples:
      tryon-images completion bash > ~/.local/share/bash-completion/completions/tryon-images
      tryon-images completion zsh >> ~/.zshrc
      tryon-images completion fish > ~/.config/fish/completions/tryon-images.fish
    """
    shell_complete(context.find_root().command, {}, PROGRAM, VARIABLE, f"{shell}_source")


COMMANDS = (
    serve,
    worker,
    upload,
    crop,
    accounts,
    keys,
    images,
    customers,
    verify_receipt,
    purge,
    reconcile,
    audit,
    db,
    models,
    doctor,
    evidence,
    storage,
    config,
    observability,
    completion,
)
for command in COMMANDS:
    main.add_command(command)
