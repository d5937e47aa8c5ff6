"""The command line; what is missing from the installation, or fails on this machine, is told in one sentence."""

import importlib.util
import os
import sys
from typing import Final

NEEDED: Final = ("aiosqlite", "cv2", "granian", "imagecodecs", "litestar", "mediapipe", "numpy", "PIL", "pillow_heif")
"""What is loaded late, or in a process of its own."""


def run() -> None:
    """The program `tryon-images`."""
    if missing := [name for name in NEEDED if importlib.util.find_spec(name) is None]:
        sys.exit(broken(f"there is no {', '.join(missing)}"))
    try:
        from entrypoints.cli.main import main  # noqa: PLC0415 - it may be this that fails

        try:
            main()
        finally:
            _flush()
    except ImportError as error:
        sys.exit(broken(str(error)))
    except BrokenPipeError:  # whoever read along has enough
        sys.exit(1)
    except OSError as error:  # as of a full disk, also the one that standard output goes to
        sys.exit(f"Error: {error}. What was asked for may be done in part. Disks and folders: tryon-images doctor")


def _flush() -> None:
    """Write what is left for standard output, which the interpreter would do too late to tell what is wrong."""
    if sys.stdout is None:  # it was closed by whoever started us
        return
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # so that the last flush has nothing to say
        raise


def broken(what: str) -> str:
    """The sentence."""
    return f"The installation is broken: {what}. Install it again: make clean setup, or pip install --force-reinstall."
