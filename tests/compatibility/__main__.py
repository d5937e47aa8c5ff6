"""Run the client families and print the table that the README shows: `python -m tests.compatibility`."""

import inspect
import subprocess
import sys
import tempfile
from collections import defaultdict
from pathlib import Path
from xml.etree import ElementTree

from tests.compatibility import test_client_families as families


def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        run = [sys.executable, "-m", "pytest", "-q", "-n", "0", f"--junitxml={report}", "tests/compatibility"]
        done = subprocess.run(run, check=False)
        outcomes = _outcomes(report)
    print("\n| client | what it does | variants | result |\n|---|---|---|---|")
    for name, test in inspect.getmembers(families, inspect.isfunction):
        if name.startswith("test_"):
            found = outcomes[name]
            result = "passes" if set(found) == {"passes"} else ", ".join(found)
            print(f"| {inspect.getdoc(test)} | {len(found)} | {result} |")
    return done.returncode


def _outcomes(report: Path) -> defaultdict[str, list[str]]:
    outcomes: defaultdict[str, list[str]] = defaultdict(list)
    for case in ElementTree.parse(report).iter("testcase"):
        worst = next((kind for kind in ("failure", "error", "skipped") if case.find(kind) is not None), "passes")
        outcomes[case.attrib["name"].partition("[")[0]].append(worst)
    return outcomes


if __name__ == "__main__":
    sys.exit(main())
