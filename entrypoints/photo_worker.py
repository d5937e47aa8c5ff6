"""What runs inside a photo worker, and the pool of them that the rest of the service sees."""

from pathlib import Path

from adapters.vision.models import ModelInstallationFailed, install, missing
from adapters.vision.system_libraries import missing_library_advice
from entrypoints.settings import Settings

__all__ = ["ModelInstallationFailed", "install_models", "missing_models", "missing_system_libraries"]
