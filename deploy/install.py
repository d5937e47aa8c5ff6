"""Installation of pinned packages: a terminal sees one line that counts, and pip's own words only if it fails.

`make setup` runs it by the new environment's Python, in which there is nothing but pip: standard library only.
"""

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

LOG = Path(sys.prefix) / "pip.log"
PIP = (sys.executable, "-m", "pip", "--no-input", "--disable-pip-version-check", "install", "--progress-bar", "off")
REST_OF_LINE = "\x1b[K"
FETCHES = "\nCollecting "
UNPACKS = "\nInstalling collected packages:"
PAUSES_SECONDS = (5, 20)
"""Between one try and the next: an index, or the way to it, may be gone for a moment."""
FINAL = ("DO NOT MATCH THE HASHES", "requires a different Python", "ResolutionImpossible", "No space left on device")


def main() -> int:
    """Returns: the exit code. Arguments: a lock file with hashes, or options of `pip install`."""
    lock, *options = sys.argv[1:]
    command = [*PIP, *([lock, *options] if options else ["--require-hashes", "-r", lock])]
    wanted = 0 if options else len(set(pinned(Path(lock))))
    for pause in (*PAUSES_SECONDS, None):
        returncode = run(command, wanted)
        if returncode == 0 or pause is None or any(reason in LOG.read_text(errors="replace") for reason in FINAL):
            break
        print("pip could not install the packages:", *reasons(), f"Once more in {pause} s ...", sep="\n  ", flush=True)
        time.sleep(pause)
    if returncode:
        print("pip could not install the packages:", *reasons(), f"All that it said is in {LOG}.", sep="\n  ")
    return returncode


def run(command: list[str], wanted: int) -> int:
    """Returns: pip's exit code."""
    before = len(installed())
    with LOG.open("w") as log, subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT) as pip:  # noqa: S603
        while pip.poll() is None:
            if wanted and sys.stdout.isatty():
                print(f"\r  {progress(wanted, before)}{REST_OF_LINE}", end="", flush=True)
            time.sleep(0.2)
    if wanted and sys.stdout.isatty():
        print(f"\r{REST_OF_LINE}", end="", flush=True)
    return pip.returncode


def pinned(lock: Path) -> Iterator[str]:
    """Names of the packages that a lock file is about, without those for Windows alone."""
    for line in lock.read_text().splitlines():
        name, is_pinned, rest = line.partition("==")
        if is_pinned and not line.startswith((" ", "#")) and "win32" not in rest:
            yield name


def installed() -> list[Path]:
    """Of each package that pip has put into place, the folder that says so."""
    return list(Path(sys.prefix).glob("lib/python*/site-packages/*.dist-info"))


def progress(wanted: int, before: int) -> str:
    """How far pip is: first it fetches everything, then it unpacks everything."""
    said = f"\n{LOG.read_text(errors='replace')}"
    if UNPACKS in said:
        return f"{min(len(installed()) - before, wanted)} of {wanted} packages unpacked"
    return f"{min(said.count(FETCHES), wanted)} of {wanted} packages fetched"


def reasons() -> list[str]:
    """Every error that pip has named, or else its last words."""
    lines = LOG.read_text(errors="replace").splitlines()
    return [line for line in lines if line.startswith("ERROR:")] or lines[-5:]


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:  # pip has heard it too
        sys.exit("\nInterrupted. The next `make` goes on.")
