"""Change domain and use cases in small ways: each change has to fail a test, or to be accepted with a reason."""

import difflib
import json
import sys
import time
import tomllib
import warnings
from collections import Counter
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

from tests.mutants.operators import Mutant, mutants_of
from tests.mutants.trials import try_all

ACCEPTED: Final = Path(__file__).with_name("accepted.toml")
NAMES: Final = ("where", "was", "now")
COVERED: Final = {
    "domain": "account customer erasure generation image product",
    "application": "answer_once customer_holdings delete_images erase_customer fair_shares generations keep_picture "
    "keep_product manage_accounts products read_image reconcile start_try_on upload_photo",
}
"""Erasure, retention, the life of an image, idempotency, quota and credits, generations."""
PARTS: Final = {"application/fair_shares.py": "LimitRate"}
"""Only this class of the file: the rest of it is about time, and its tests wait."""


def files(only: list[str]) -> list[Path]:
    found = [Path(folder, f"{name}.py") for folder, names in COVERED.items() for name in names.split()]
    return [path for path in found if not only or any(part in str(path) for part in only)]


def mutants_in(path: Path) -> list[Mutant]:
    part = PARTS.get(str(path), "")
    return [mutant for mutant in mutants_of(path) if mutant.where.partition(":")[2].startswith(part)]


def diff(mutant: Mutant) -> str:
    before, after = mutant.path.read_text().splitlines(), mutant.source.splitlines()
    return "\n".join(difflib.unified_diff(before, after, str(mutant.path), mutant.where, n=1, lineterm=""))


def entry(key: tuple[str, ...]) -> str:
    """As it stands in the list of those accepted."""
    return "\n".join(f"{name} = {json.dumps(text, ensure_ascii=False)}" for name, text in zip(NAMES, key, strict=True))


def accepted_in(paths: list[Path]) -> Counter[tuple[str, ...]]:
    """One that a function makes in two places has two entries."""
    entries = tomllib.loads(ACCEPTED.read_text())["mutant"]
    here = set(map(str, paths))
    reasoned = [it for it in entries if it["why"] and it["where"].partition(":")[0] in here]
    return Counter(tuple(it[name] for name in NAMES) for it in reasoned)


def survivors(mutants: list[Mutant]) -> list[Mutant]:
    """Tells how it goes: a bar on a terminal, and a line when a module is through."""
    alive: list[Mutant] = []
    left = Counter(mutant.path for mutant in mutants)
    console = Console(highlight=False, soft_wrap=True)
    columns = (BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    # No thread draws it, since each trial is a fork.
    bar = Progress(*columns, console=console, disable=not console.is_terminal, auto_refresh=False, transient=True)
    task = bar.add_task("", total=len(mutants))

    def told(mutant: Mutant, survives: bool) -> None:
        alive.extend([mutant] if survives else [])
        left[mutant.path] -= 1
        if not left[mutant.path]:
            here, survive = (sum(one.path == mutant.path for one in some) for some in (mutants, alive))
            console.print(f"{mutant.path}: {here} mutants, {survive} survive")
        bar.update(task, advance=1, refresh=True)

    with bar:
        try_all(mutants, told)
    return alive


def main(only: list[str]) -> int:
    warnings.simplefilter("ignore", SyntaxWarning)
    started = time.monotonic()
    paths = files(only)
    mutants = [mutant for path in paths for mutant in mutants_in(path)]
    accepted = accepted_in(paths)
    alive = survivors(mutants)
    # A test may have failed by chance: none is called stale that was caught but once.
    if doubtful := [mutant for mutant in set(mutants) - set(alive) if mutant.key in accepted]:
        alive += survivors(doubtful)
    found = Counter[tuple[str, ...]](mutant.key for mutant in alive)
    wrong, stale = found - accepted, accepted - found
    for mutant in (mutant for mutant in alive if mutant.key in wrong):
        print(f"\nNo test fails with:\n{diff(mutant)}\n\n[[mutant]]\n{entry(mutant.key)}")
    for key in sorted(stale.elements()):
        print(f"\nAccepted, but a test fails with it, or it is no more:\n{entry(key)}")
    print(
        f"\n{len(mutants)} mutants in {time.monotonic() - started:.0f} s: {wrong.total()} survive, "
        f"{(found & accepted).total()} are accepted, {stale.total()} entries are stale."
    )
    return 1 if wrong or stale else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
