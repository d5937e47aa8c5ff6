"""Checks for the shared libraries that MediaPipe opens but no Python package brings along."""

import ctypes
from collections.abc import Mapping
from typing import Final

PACKAGE_OF: Final = {
    "libEGL.so.1": "libegl1",
    "libGLESv2.so.2": "libgles2",
    "libGL.so.1": "libgl1",
    "libglib-2.0.so.0": "libglib2.0-0",
}
"""Library and the Debian and Ubuntu package that holds it: MediaPipe links the first two, OpenCV the others."""


def missing_library_advice() -> str | None:
    """One line that says what to install; None when everything is there."""
    return advice_for(PACKAGE_OF)


def advice_for(package_of: Mapping[str, str]) -> str | None:
    """The same for any libraries and the packages that hold them."""
    packages = [package for library, package in package_of.items() if not _can_be_loaded(library)]
    if not packages:
        return None
    return f"Missing system libraries. Install them with: sudo apt-get install -y {' '.join(packages)}"


def _can_be_loaded(library: str) -> bool:
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True
