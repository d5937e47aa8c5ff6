"""Metrics and traces. Server processes share what they count through files, in a folder that their supervisor makes."""

from typing import Final

SHARED_FOLDER: Final = "PROMETHEUS_MULTIPROC_DIR"
"""prometheus-client's own variable; it has to be set before `metrics` is imported."""
OWNER: Final = "owner"
"""The file in the folder that names the process whose descendants are the service."""
