"""The folder in which server processes keep what they count."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from adapters.telemetry import SHARED_FOLDER
from entrypoints.server import metrics_server as metrics_folder_module
from entrypoints.server.metrics_server import metrics_folder, room_problem
from tests.free_port import free_port
from tests.patience import PATIENCE_SECONDS

HOLD = "import pathlib, sys; from entrypoints.server.metrics_server import metrics_folder as f\n" + (
    "with f(pathlib.Path(sys.argv[1])) as folder: print(folder, flush=True); sys.stdin.read()"
)


def test_it_is_named_while_it_is_there_and_gone_afterwards(tmp_path: Path) -> None:
    with metrics_folder(tmp_path) as folder:
        assert os.environ[SHARED_FOLDER] == str(folder)
    assert SHARED_FOLDER not in os.environ
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_server_left_is_removed_and_what_a_running_one_uses_is_not(tmp_path: Path) -> None:
    command = [sys.executable, "-c", HOLD, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout
        theirs = Path(other.stdout.readline().strip())
        with metrics_folder(tmp_path):
            assert theirs.is_dir()
        other.send_signal(signal.SIGKILL)
        other.wait(PATIENCE_SECONDS)
    assert theirs.is_dir()
    with metrics_folder(tmp_path):
        assert not theirs.exists()


@pytest.fixture
def tiny(tmp_path: Path) -> Iterator[Path]:
    """A file system of 512 KiB, as a `/dev/shm` that others have filled."""
    folder = tmp_path / "tiny"
    folder.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", str(folder)], check=False).returncode:
        pytest.skip("only root may mount")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


COUNT = """
import sys
from adapters.telemetry import metrics
from adapters.telemetry.exposition import exposition
for number in range(4000):
    metrics.REQUESTS.labels(f"/route-{number:0100}", "GET", "200").inc()
    metrics.REQUEST_SECONDS.labels(f"/route-{number % 50}").observe(0.1)
print(len(exposition()))
"""


def test_memory_that_is_full_costs_figures_and_no_process(tiny: Path) -> None:
    """Counting more than fits, with sparse files SIGBUS."""
    environment = {**os.environ, SHARED_FOLDER: str(tiny)}
    done = subprocess.run([sys.executable, "-c", COUNT], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 10_000


def test_without_any_room_a_process_starts_all_the_same(tiny: Path) -> None:
    (tiny / "others").write_bytes(bytes(500 * 1024))
    environment = {**os.environ, SHARED_FOLDER: str(tiny)}
    done = subprocess.run([sys.executable, "-c", COUNT], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_place_that_is_full_is_passed_over_and_doctor_says_it(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    elsewhere = tiny.parent
    monkeypatch.setattr(metrics_folder_module, "PLACES", (tiny, elsewhere))
    assert room_problem() is None
    with metrics_folder(tiny, elsewhere) as folder:
        assert folder.parent == elsewhere
    monkeypatch.setattr(metrics_folder_module, "PLACES", (tiny,))
    assert str(room_problem()).startswith(f"Neither {tiny} has 8 MiB for metrics.")


def test_where_nothing_else_can_be_written_to_it_is_in_the_last_place(tmp_path: Path) -> None:
    with metrics_folder(tmp_path / "none", Path("/proc"), tmp_path) as folder:
        assert folder.parent == tmp_path
    assert list(tmp_path.iterdir()) == []


ASK = """
import http.client, socket, socketserver, sys, threading
from pathlib import Path
from entrypoints.server.metrics_server import health_socket, metrics_folder, serve_metrics

class Server(socketserver.StreamRequestHandler):
    def handle(self):
        while self.rfile.readline().strip():  # else it may have left before the question is there
            pass
        self.wfile.write(b"HTTP/1.0 200 .\\r\\ncontent-type: application/json\\r\\ncontent-length: 2\\r\\n\\r\\n{}")

port = int(sys.argv[2])
with metrics_folder(Path(sys.argv[1])) as folder:
    serve_metrics("127.0.0.1", port, folder)
    loaded = set(sys.modules)
    server = socketserver.UnixStreamServer(str(health_socket(folder, 1)), Server)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    for path in ("/metrics", "/health/live", "/health/ready", "/nowhere"):
        with socket.create_connection(("127.0.0.1", port)) as connection:
            connection.sendall(f"GET {path} HTTP/1.0\\r\\n\\r\\n".encode())
            answer = b"".join(iter(lambda: connection.recv(65536), b""))
        print(path, answer.split()[1].decode(), *sorted(set(sys.modules) - loaded))
"""


def test_a_probe_while_a_server_process_is_forked_imports_nothing(tmp_path: Path) -> None:
    """The fork would wait for ever for the lock of an import that nobody goes on with."""
    command = [sys.executable, "-c", ASK, str(tmp_path), str(free_port())]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stdout.splitlines() == ["/metrics 200", "/health/live 200", "/health/ready 200", "/nowhere 404"], done


LEAVE = """
import socket, struct, sys, threading
from pathlib import Path
from entrypoints.server.metrics_server import metrics_folder, serve_metrics

port = int(sys.argv[2])
with metrics_folder(Path(sys.argv[1])) as folder:
    serve_metrics("127.0.0.1", port, folder)
    for sent in (b"", b"GET /metr", b"GET /metrics HTTP/1.0\\r\\n\\r\\n", bytes([22, 3, 1, 255, 255])):
        connection = socket.create_connection(("127.0.0.1", port))
        connection.sendall(sent)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # closes with a reset
        connection.close()
    with socket.create_connection(("127.0.0.1", port)) as connection:  # taken after all of them
        connection.sendall(b"GET /nowhere HTTP/1.0\\r\\n\\r\\n")
        print(connection.recv(65536).split()[1])
    for thread in threading.enumerate():
        if "process_request" in thread.name:
            thread.join()
"""


def test_a_probe_that_leaves_writes_no_line(tmp_path: Path) -> None:
    """As load balancers do that only want to know whether somebody listens."""
    command = [sys.executable, "-c", LEAVE, str(tmp_path), str(free_port())]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("b'404'\n", "")
