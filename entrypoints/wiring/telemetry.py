"""Telemetry: metrics always, traces where the standard OTEL_* variables ask for them."""

import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from adapters.telemetry.exposition import exposition
from adapters.telemetry.metrics import AccountMeter, observe
from application.request_trace import Observer
from entrypoints.wiring.environment import ConfigurationError, Problem

if TYPE_CHECKING:
    from adapters.telemetry.traces import Traces

ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
NAMED_BY = ("OTEL_SERVICE_NAME", "OTEL_RESOURCE_ATTRIBUTES")
ADVICE = "nothing before OpenTelemetry is installed: pip install 'tryon-images[otel]'"


def is_traced(environ: Mapping[str, str]) -> bool:
    """An endpoint for spans is named, or the exporter is, and nobody switched it off."""
    is_off = environ.get("OTEL_SDK_DISABLED", "").lower() == "true" or environ.get("OTEL_TRACES_EXPORTER") == "none"
    return not is_off and (environ.get("OTEL_TRACES_EXPORTER") == "otlp" or any(map(environ.get, ENDPOINTS)))


def check_tracing(environ: Mapping[str, str]) -> None:
    """Raises: ConfigurationError when traces are wanted and cannot be had."""
    if is_traced(environ) and importlib.util.find_spec("opentelemetry.sdk") is None:
        raise ConfigurationError([Problem("OTEL_*", "an endpoint for traces", ADVICE)])


def traces_from_environment(environ: Mapping[str, str]) -> "Traces | None":
    """None when they are off; the OpenTelemetry packages are imported only when they are on."""
    check_tracing(environ)
    if not is_traced(environ):
        return None
    from adapters.telemetry.traces import Traces  # noqa: PLC0415 - half a second, and an optional dependency

    return Traces(None if any(map(environ.get, NAMED_BY)) else "tryon-images")


@dataclass(frozen=True, slots=True)
class Telemetry:
    """Who is told of every request, and where the figures are read."""

    traces: "Traces | None"
    accounts: AccountMeter

    @property
    def observers(self) -> tuple[Observer, ...]:
        counting = (observe, self.accounts.observe)
        return (*counting, self.traces.record) if self.traces else counting

    def metrics(self) -> bytes:
        """In Prometheus' text format."""
        return exposition()

    def close(self) -> None:
        """Send the traces that are left; blocks."""
        if self.traces is not None:
            self.traces.close()
