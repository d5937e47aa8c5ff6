"""Evidence for a questionnaire, collected from a real installation: database, folder, sandbox and all."""

import json
import stat
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from entrypoints.cli.evidence import LAST_PURGE, sbom
from entrypoints.cli.main import main
from tests.builders import NOON
from tests.cli.shop import Shop
from tests.object_storage.bucket_server import BUCKET, bucket_server

ITEMS = ["version", "settings", "sandbox", "permissions", "storage", "canary", "expiry", "sbom"]
LOCKED = {"uniformBucketLevelAccess": {"enabled": True}, "publicAccessPrevention": "enforced"}
TOKEN = "a-token-that-nobody-must-see"


def collect(shop: Shop, output: Path, *options: str, **environment: str) -> Result:
    shop.folder.chmod(0o700)
    return CliRunner().invoke(
        main,
        ["evidence", "-o", str(output), "--json", *options],
        env={"TRYON_DATA_DIR": str(shop.folder), **environment},
    )


class Metrics(BaseHTTPRequestHandler):
    """Of a service whose last purge went through at noon."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(f"# TYPE {LAST_PURGE} gauge\n{LAST_PURGE} {NOON.timestamp()}\n".encode())

    def log_message(self, *_: object) -> None:
        """Quiet."""


@pytest.fixture
def metrics_port() -> Iterator[int]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Metrics)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_address[1]
    server.shutdown()
    server.server_close()


def file_in(archive: Path, name: str) -> Any:
    with zipfile.ZipFile(archive) as opened:
        return json.loads(opened.read(name))


def test_an_installation_that_is_in_order_passes_and_gives_no_secret_away(
    shop: Shop, tmp_path: Path, metrics_port: int
) -> None:
    archive = tmp_path / "evidence.zip"
    done = collect(shop, archive, TRYON_ENGINE_TOKEN=TOKEN, TRYON_METRICS_PORT=str(metrics_port))
    items = json.loads(done.stdout)
    assert [item["item"] for item in items] == ITEMS
    assert [item for item in items if item["result"] != "pass"] == []
    assert done.exit_code == 0
    assert [name for name in ITEMS if f"evidence: {name} ..." not in done.stderr] == []
    assert stat.S_IMODE(archive.stat().st_mode) == 0o600
    with zipfile.ZipFile(archive) as opened:
        assert sorted(opened.namelist()) == sorted([*(f"{name}.json" for name in ITEMS), "summary.md"])
        whole = b"".join(opened.read(name) for name in opened.namelist())
        assert b"Everything that applies passed" in opened.read("summary.md")
    assert TOKEN.encode() not in whole
    assert b"evidence-canary-" not in whole
    expiry = file_in(archive, "expiry.json")
    assert (expiry["overdueImages"], expiry["lastPurgeAt"]) == (0, NOON.strftime("%Y-%m-%dT%H:%M:%SZ"))
    canary = file_in(archive, "canary.json")
    assert canary["before"]["hits"]
    assert canary["after"]["raw"]["hits"] == []
    assert (canary["after"]["images"], canary["after"]["objects"]) == (0, 0)
    receipt = tmp_path / "receipt.json"
    receipt.write_text(json.dumps(canary["receipt"], indent=2))
    (key, *_) = file_in(archive, "version.json")["receiptKeys"]
    assert shop.run("verify-receipt", str(receipt), "--public-key", key).exit_code == 0
    assert list((shop.folder / "objects").rglob("*.jpg")) == []
    assert [entry["action"] for entry in shop.json("audit")][-2:] == ["evidence_collected", "customer_erased"]


def test_with_postgresql_and_a_bucket_the_canary_is_seen_there_before_it_is_gone(
    postgres_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = tmp_path / "evidence.zip"
    with bucket_server() as (bucket, url):
        bucket.settings["iamConfiguration"] = LOCKED
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", url)
        environment = {
            "TRYON_DATABASE_URL": postgres_url,
            "TRYON_STORAGE_URL": f"gs://{BUCKET}/my-prefix",
            "TRYON_PREVIEW_LINKS": "service",
            "TRYON_SIGNING_KEY": "s" * 32,
            "TRYON_PSEUDONYM_KEY": "p" * 32,
            "TRYON_DATA_DIR": str(tmp_path / "data"),
        }
        for command in (["accounts", "create", "default"], ["storage", "setup"]):
            assert CliRunner().invoke(main, command, env=environment).exit_code == 0
        done = CliRunner().invoke(main, ["evidence", "-o", str(archive), "--json"], env=environment)
        assert [item for item in json.loads(done.stdout) if item["result"] != "pass"] == []
        assert done.exit_code == 0
        canary = file_in(archive, "canary.json")
        assert len(canary["before"]["objects"]) == 1
        assert canary["before"]["hits"] == []
        assert bucket.objects == {}


def test_what_is_wrong_fails_by_name_and_the_rest_is_collected(shop: Shop, tmp_path: Path) -> None:
    archive, open_folder = tmp_path / "evidence.zip", shop.folder / "objects"
    open_folder.mkdir(exist_ok=True)
    open_folder.chmod(0o755)
    secret = tmp_path / "elsewhere" / "token"
    secret.parent.mkdir()
    secret.parent.chmod(0o755)
    secret.write_text(TOKEN)
    secret.chmod(0o644)
    done = collect(shop, archive, "--account", "no-such", TRYON_ENGINE_TOKEN_FILE=str(secret))
    assert done.exit_code == 1
    results = {item["item"]: item["result"] for item in json.loads(done.stdout)}
    assert {name for name, result in results.items() if result == "fail"} == {"permissions", "canary"}
    assert [fact["path"] for fact in file_in(archive, "permissions.json") if fact["openToOthers"]] == [str(secret)]
    with zipfile.ZipFile(archive) as opened:
        assert b"**Failed: permissions, canary.**" in opened.read("summary.md")


def test_the_list_of_packages_is_valid_cyclonedx_and_whole() -> None:
    made = sbom(NOON)
    assert JsonStrictValidator(SchemaVersion.V1_5).validate_str(json.dumps(made)) is None
    listed = {component["name"] for component in made["components"]}
    installed = {each.metadata["Name"].lower().replace("_", "-").replace(".", "-") for each in distributions()}
    assert listed == installed - {"tryon-images"}
    assert {"litestar", "pillow", "sqlalchemy"} <= listed


def test_an_archive_is_not_replaced(shop: Shop, tmp_path: Path) -> None:
    (tmp_path / "evidence.zip").write_bytes(b"last year")
    assert collect(shop, tmp_path / "evidence.zip").exit_code == 2
    assert (tmp_path / "evidence.zip").read_bytes() == b"last year"
