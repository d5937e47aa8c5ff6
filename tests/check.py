"""Everything that has to hold before a change lands: `python -m tests.check`, the same here and in CI."""

import subprocess
import sys
import time
from pathlib import Path

BIN = Path(sys.executable).parent
STEPS = {
    "format": ["ruff", "format", "--check", "."],
    "lint": ["ruff", "check", "."],
    "types": ["mypy"],
    "imports": ["lint-imports"],
    "tests": ["pytest"],
}


TESTS_FAILED = 1
"""pytest's exit code when tests ran and some failed."""


def run(command: list[str]) -> int:
    return subprocess.run([BIN / command[0], *command[1:]], check=False).returncode


def main() -> int:
    for name, command in STEPS.items():
        print(f"== {name}: {' '.join(command)}", flush=True)
        started = time.monotonic()
        returncode = run(command)
        if name == "tests" and returncode == TESTS_FAILED:
            print("== tests: those that failed, once more and alone; two cores are few for some hundred processes")
            returncode = run([*command, "--last-failed", "-n", "0"])
        if returncode != 0:
            print(f"== {name} failed", flush=True)
            return 1
        print(f"== {name} took {time.monotonic() - started:.0f} s", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
