"""Everything that has to hold before a change lands: `python -m tests.check`, the same here and in CI.

With arguments, as for pytest, only the tests that they name; options have to be of one word each.
"""

import json
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

BIN = Path(sys.executable).parent
STEPS = {
    "format": ["ruff", "format", "--check", "."],
    "lint": ["ruff", "check", "."],
    "types": ["mypy"],
    "imports": ["lint-imports"],
}
GOES = 3
"""A test that fails as often is broken; one that passes in between was in a hurry, and is named."""
FINAL = {0, 2, 4, 5}
"""pytest's exit codes that another go does not change: passed, a file that cannot be imported, wrong usage, no test."""


def run(command: list[str]) -> int:
    return subprocess.run([BIN / command[0], *command[1:]], check=False).returncode


def run_tests(arguments: list[str]) -> int:
    """Those that fail get another go, one after the other, without the rest around them. Returns: the exit code."""
    options: list[str] = []
    chosen = arguments
    for go in range(1, GOES + 1):
        with tempfile.TemporaryDirectory() as cache:
            returncode = run(["pytest", "-o", f"cache_dir={cache}", *options, *chosen])
            failed = failures_in(Path(cache))
        if returncode in FINAL or go == GOES:
            break
        print(f"== tests: these failed in go {go} of {GOES}, and get another one:", flush=True)
        if failed:
            options, chosen = [*filter(is_option, arguments), "-n0"], failed
        print(*chosen or ["all, for pytest broke down"], sep="\n", flush=True)
    return returncode


def is_option(argument: str) -> bool:
    return argument.startswith("-")


def failures_in(cache: Path) -> list[str]:
    """Tests that failed, also in a fixture or by taking their process along; none if pytest did not come to its end."""
    noted = cache / "v" / "cache" / "lastfailed"
    return sorted(json.loads(noted.read_text())) if noted.exists() else []


def main() -> int:
    only = sys.argv[1:]
    steps = {} if only else {name: partial(run, command) for name, command in STEPS.items()}
    for name, step in {**steps, "tests": partial(run_tests, only)}.items():
        print(f"== {name}: {' '.join(STEPS.get(name, ['pytest', *only]))}", flush=True)
        started = time.monotonic()
        if step() != 0:
            print(f"== {name} failed", flush=True)
            return 1
        print(f"== {name} took {time.monotonic() - started:.0f} s", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
