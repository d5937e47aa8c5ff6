"""Watching the service: alert rules and a dashboard for the metrics that there are."""

import json
import re
from importlib.resources import files
from pathlib import Path

from prometheus_client.metrics import MetricWrapperBase

from adapters.telemetry import metrics

WATCHED_BY = files("entrypoints") / "observability"
RULES, DASHBOARD = WATCHED_BY / "alerts.yaml", WATCHED_BY / "dashboard.json"
OPERATIONS = Path(__file__).parents[2] / "docs" / "operations.md"


def used_names(text: str) -> set[str]:
    return set(re.findall(r"tryon_\w+", text))


def test_no_metric_is_left_out() -> None:
    assert {metric for metric in vars(metrics).values() if isinstance(metric, MetricWrapperBase)} == set(metrics.ALL)


def test_every_metric_is_on_the_dashboard_and_in_the_operations_guide() -> None:
    shown, explained = used_names(DASHBOARD.read_text()), used_names(OPERATIONS.read_text())
    for metric in (described for each in metrics.ALL for described in each.describe()):
        name = metric.name + ("_total" if metric.type == "counter" else "")
        assert name in explained
        assert any(used.startswith(metric.name) for used in shown), metric.name


def test_every_alert_has_an_entry_in_the_runbook() -> None:
    headings = {line.strip("# ").lower() for line in OPERATIONS.read_text().splitlines() if line.startswith("### ")}
    anchors = re.findall(r"runbook: docs/operations.md#(\w+)", RULES.read_text())
    alerts = re.findall(r"alert: (\w+)", RULES.read_text())
    assert [alert.lower() for alert in alerts] == anchors
    assert set(anchors) <= headings


def test_the_dashboards_panels_have_ids_and_places_of_their_own() -> None:
    panels = json.loads(DASHBOARD.read_text())["panels"]
    places = [tuple(panel["gridPos"].values()) for panel in panels]
    assert len({panel["id"] for panel in panels}) == len(set(places)) == len(panels)
