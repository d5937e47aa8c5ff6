"""`make audit` against an OSV database of our own."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.audit import UNREACHABLE, audit
from tests.free_port import free_port

DIGEST = "0" * 64


class Database(BaseHTTPRequestHandler):
    """Knows one vulnerability, of `left-pad` 1.0.0."""

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        is_known = (asked["package"]["name"], asked["version"]) == ("left-pad", "1.0.0")
        affected = {"package": {"name": "left-pad", "ecosystem": "PyPI"}, "versions": ["1.0.0"], "ranges": []}
        found = {"id": "PYSEC-2026-1", "modified": "2026-01-01T00:00:00Z", "summary": "pads", "affected": [affected]}
        body = json.dumps({"vulns": [found]} if is_known else {}).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Quiet."""


@pytest.fixture
def osv_url() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Database)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}/v1/query"
    server.shutdown()
    server.server_close()


def lock(folder: Path, version: str) -> Path:
    path = folder / "requirements.lock"
    path.write_text(f"left-pad=={version} --hash=sha256:{DIGEST}\n")
    return path


def test_a_known_vulnerability_is_named(osv_url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert audit(lock(tmp_path, "1.0.0"), osv_url) == 1
    assert "PYSEC-2026-1" in capsys.readouterr().out


def test_without_one_the_audit_passes(osv_url: str, tmp_path: Path) -> None:
    assert audit(lock(tmp_path, "1.0.1"), osv_url) == 0


def test_a_database_that_cannot_be_reached_is_not_a_clean_bill(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert audit(lock(tmp_path, "1.0.0"), f"http://127.0.0.1:{free_port()}/v1/query") == UNREACHABLE
    assert "nothing was checked" in capsys.readouterr().out
