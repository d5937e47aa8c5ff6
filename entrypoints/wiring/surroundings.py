"""Surroundings that a start needs: folders that may be written to, and a port that is free."""

import errno
import os
import socket
from pathlib import Path
from typing import Final

from entrypoints.wiring.environment import ConfigurationError, Problem
from entrypoints.wiring.settings import Settings

PRIVATE: Final = 0o700
"""What is kept is nobody else's business, whatever the umask says."""


def folders_of(settings: Settings) -> dict[str, Path]:
    """Local folders that are written to, by the setting that names them."""
    folders = {}
    if not settings.database_url or (settings.serves_previews and not settings.signing_key):
        folders["TRYON_DATA_DIR"] = settings.data_dir
    if settings.keeps_files:
        folders.setdefault("TRYON_STORAGE_URL" if settings.storage_url else "TRYON_DATA_DIR", settings.storage_folder)
    return {variable: folder.absolute() for variable, folder in folders.items()}


def prepare_folders(settings: Settings) -> None:
    """Make the data folder if it is not there yet, for this user only. Raises: ConfigurationError."""
    problems = []
    for variable, folder in folders_of(settings).items():
        if reason := _why_not_writable(folder):
            takes = f"a folder that user {os.geteuid()} may write to ({reason})"
            problems.append(Problem(variable, str(folder), takes))
    if problems:
        raise ConfigurationError(problems)


def _why_not_writable(folder: Path) -> str | None:
    try:
        for part in reversed([folder, *folder.parents]):
            part.mkdir(mode=PRIVATE, exist_ok=True)
    except OSError as error:
        return error.strerror
    return None if os.access(folder, os.W_OK | os.X_OK) else os.strerror(errno.EACCES)


def expect_free_port(settings: Settings) -> None:
    """Raises: ConfigurationError: another process listens there, the address is not of this machine, or is reserved."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((settings.host, settings.port))
    except OSError as error:
        if error.errno == errno.EADDRNOTAVAIL:
            problem = Problem("TRYON_HOST", settings.host, "an address of this machine")
        elif error.errno == errno.EADDRINUSE:
            problem = Problem("TRYON_PORT", str(settings.port), "a free port: another process listens on it")
        else:
            problem = Problem("TRYON_PORT", str(settings.port), f"a port that this user may open ({error.strerror})")
        raise ConfigurationError([problem]) from None
