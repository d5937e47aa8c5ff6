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


def main() -> int:
    for name, command in STEPS.items():
        print(f"== {name}: {' '.join(command)}", flush=True)
        started = time.monotonic()
        done = subprocess.run([BIN / command[0], *command[1:]], check=False)
        if done.returncode != 0:
            print(f"== {name} failed", flush=True)
            return 1
        print(f"== {name} took {time.monotonic() - started:.0f} s", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
