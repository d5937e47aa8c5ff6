"""Known vulnerabilities of every locked package: `python -m tests.audit [--osv-url URL]`.

Asks an OSV database: the public one, or a mirror by its URL. Exit codes: 0 none known, 1 some are,
3 the database could not be asked.
"""

import argparse
import subprocess
import sys
from pathlib import Path

LOCK = Path(__file__).parents[1] / "requirements.lock"
PIP_AUDIT = Path(sys.executable).with_name("pip-audit")
UNREACHABLE = 3
UNREACHABLE_WORDS = ("Connection", "connection", "Max retries", "timed out", "Could not connect", "ServiceError")


def audit(lock: Path, osv_url: str | None) -> int:
    """Prints what pip-audit found. Returns: the exit code."""
    where = ["--osv-url", osv_url] if osv_url else []
    command = [str(PIP_AUDIT), "-r", str(lock), "--no-deps", "--disable-pip", "-s", "osv", "--progress-spinner", "off"]
    done = subprocess.run([*command, *where], capture_output=True, text=True, check=False)
    if done.returncode != 0 and not done.stdout and any(word in done.stderr for word in UNREACHABLE_WORDS):
        print(f"The vulnerability database at {osv_url or 'osv.dev'} cannot be reached; nothing was checked.")
        print("Name another one: make audit OSV_URL=https://…/v1/query")
        return UNREACHABLE
    print(done.stdout or done.stderr, end="")
    return done.returncode


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--osv-url")
    sys.exit(audit(LOCK, parser.parse_args().osv_url))
