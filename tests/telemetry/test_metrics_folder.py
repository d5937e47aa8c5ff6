"""The folder in which server processes keep what they count."""

import os
import signal
import subprocess
import sys
from pathlib import Path

from entrypoints.server.metrics_folder import VARIABLE, metrics_folder

HOLD = "import pathlib, sys; from entrypoints.server.metrics_folder import metrics_folder as f\n" + (
    "with f(pathlib.Path(sys.argv[1])) as folder: print(folder, flush=True); sys.stdin.read()"
)


def test_it_is_named_while_it_is_there_and_gone_afterwards(tmp_path: Path) -> None:
    with metrics_folder(tmp_path) as folder:
        assert os.environ[VARIABLE] == str(folder)
    assert VARIABLE not in os.environ
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_server_left_is_removed_and_what_a_running_one_uses_is_not(tmp_path: Path) -> None:
    command = [sys.executable, "-c", HOLD, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout
        theirs = Path(other.stdout.readline().strip())
        with metrics_folder(tmp_path):
            assert theirs.is_dir()
        other.send_signal(signal.SIGKILL)
        other.wait(10)
    assert theirs.is_dir()
    with metrics_folder(tmp_path):
        assert not theirs.exists()
