"""What watches the service: alert rules and a dashboard for exactly the metrics it has."""

from importlib.resources import files
from typing import Final

import click

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
