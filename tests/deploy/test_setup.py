"""`make setup` and the image's health check, where something got in between."""

import http.server
import os
import re
import subprocess
import sys
import threading
from pathlib import Path

from tests.free_port import free_port

ROOT = Path(__file__).parents[2]


def test_an_environment_that_was_interrupted_is_made_again(tmp_path: Path) -> None:
    (tmp_path / "Makefile").write_text((ROOT / "Makefile").read_text())
    half = tmp_path / ".venv" / "bin"
    half.mkdir(parents=True)
    (half / "python").symlink_to(sys.executable)  # as far as `python -m venv` gets first: no pip in it
    subprocess.run(["make", "-s", ".venv/.made", f"PYTHON={sys.executable}"], cwd=tmp_path, check=True)
    subprocess.run([half / "python", "-m", "pip", "--version"], check=True, capture_output=True)


def test_the_images_health_check_asks_no_proxy() -> None:
    found = re.search(r'CMD \["python", "-c", "(.*)"\]', (ROOT / "Dockerfile").read_text())
    assert found

    class Ready(http.server.BaseHTTPRequestHandler):
        status = 200

        def do_GET(self) -> None:
            self.send_response(self.status if self.path == "/health/ready" else 404)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Ready) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        proxy = f"http://127.0.0.1:{free_port()}"
        environment = {
            **os.environ,
            "http_proxy": proxy,
            "HTTP_PROXY": proxy,
            "TRYON_PORT": str(server.server_address[1]),
        }
        environment.pop("no_proxy", None)
        command = [sys.executable, "-c", found[1]]
        assert subprocess.run(command, env=environment, check=False, timeout=20).returncode == 0
        Ready.status = 503
        assert subprocess.run(command, env=environment, check=False, timeout=20).returncode == 1
        server.shutdown()
