"""A disk that uploads fill, with objects and SQLite on it: what was promised to go goes, and service comes back."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.patience import PATIENCE_SECONDS

APART = ["unshare", "--mount"] if os.geteuid() == 0 else ["unshare", "--user", "--map-root-user", "--mount"]


def can_mount() -> bool:
    command = [*APART, "sh", "-c", "mount -t tmpfs tmpfs /mnt"]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


@pytest.mark.skipif(not can_mount(), reason="this kernel, or container, lets nobody mount a small disk")
def test_a_full_disk_refuses_uploads_and_erases_purges_and_recovers_without_help(tmp_path: Path) -> None:
    command = [*APART, sys.executable, "-m", "tests.durability.small_disk", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=5 * PATIENCE_SECONDS)
    assert done.returncode == 0, done.stderr[-3000:]
    told = json.loads(done.stdout.splitlines()[-1])
    kept, erased = told["kept"], told["kept"] // 2
    assert kept > 10
    assert told["refusal"] == [503, "OVERLOADED", True]
    assert (told["reserve_when_full"], told["has_noticed"]) == (0, True)
    assert told["erasures"] == [[200, 1]] * erased
    assert (told["refilled"] >= erased - 2, told["second_refusal"]) == (True, "OVERLOADED")
    assert told["has_purged"]
    assert (told["after"], told["reserve_after"]) == (201, 1)
