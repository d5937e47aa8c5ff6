"""The doctor, in surroundings where all is well and in such as operators have."""

import json
import re
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from entrypoints.cli.main import main
from entrypoints.wiring.environment import ConfigurationError
from entrypoints.wiring.settings import Settings
from entrypoints.wiring.surroundings import hold_data_folder
from tests.free_port import free_port


class Patient:
    """A data folder with a schema."""

    def __init__(self, folder: Path) -> None:
        self.environment = {"TRYON_DATA_DIR": str(folder), "TRYON_WORKERS": "1", "TRYON_PORT": str(free_port())}

    def run(self, *command: str, **environment: str) -> Result:
        return CliRunner().invoke(main, command, env=self.environment | environment)

    def examined(self, exit_code: int = 1, **environment: str) -> dict[str, dict[str, Any]]:
        done = self.run("doctor", "--json", **environment)
        assert done.exit_code == exit_code, done.output
        assert "Traceback" not in done.output
        return {finding["check"]: finding for finding in json.loads(done.stdout)}


@pytest.fixture
def patient(tmp_path: Path) -> Patient:
    patient = Patient(tmp_path / "data")
    assert patient.run("db", "upgrade").exit_code == 0
    return patient


def test_where_all_is_well_a_photo_of_each_format_goes_through_the_sandbox(patient: Patient) -> None:
    findings = patient.examined(exit_code=0)
    for kind in ("JPEG", "PNG", "WebP", "HEIC"):
        assert findings[f"{kind} photo"]["found"] == "32 x 32 decoded"
    assert findings["engine"]["found"] == "sandbox: no model is connected"
    assert findings["page"]["found"].startswith("http://127.0.0.1:")
    optional = {
        name.removeprefix("optional: "): found["found"] for name, found in findings.items() if name.startswith("opt")
    }
    assert optional.keys() == {"libwebp", "libheif", "opentelemetry-sdk"}
    assert all(re.fullmatch(r"\d+\.\d+\.\d+; without it .+", found) for found in optional.values()), optional
    assert all(finding["fix"] == "" for finding in findings.values())
    assert {"models", "sandbox", "database", "storage", "clock", "disk of TRYON_DATA_DIR"} <= set(findings)


def test_the_sandbox_is_attacked_when_that_is_asked_for_and_holds(patient: Patient) -> None:
    done = patient.run("doctor", "--sandbox", "--json")
    findings = {finding["check"]: finding for finding in json.loads(done.stdout)}
    assert "Landlock version" in findings["sandbox"]["found"]
    attacked = {check: finding for check, finding in findings.items() if check.startswith(("decoder: ", "detector: "))}
    assert len(attacked) > 60
    assert all(finding["ok"] for finding in attacked.values())
    assert findings["decoder: read a file"]["found"] == "killed"
    assert findings["detector: read a file"]["found"] == "refused"


def test_an_engine_that_is_dead_is_found(patient: Patient) -> None:
    url = f"http://127.0.0.1:{free_port()}/predict"
    findings = patient.examined(TRYON_ENGINE="http", TRYON_ENGINE_URL=url)
    assert "The engine does not answer (ConnectError)" in findings["engine"]["fix"]


def test_a_file_that_is_no_database_is_a_finding_and_no_traceback(patient: Patient) -> None:
    database = Path(patient.environment["TRYON_DATA_DIR"]) / "tryon.db"
    database.write_bytes(b"no database" * 1000)
    findings = patient.examined()
    assert not findings["database"]["ok"]
    assert findings["database"]["fix"]
    assert findings["JPEG photo"]["ok"]  # it looked on


def test_a_folder_that_cannot_be_is_a_finding_and_no_traceback(patient: Patient, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    findings = patient.examined(TRYON_DATA_DIR=str(tmp_path / "file" / "data"))
    assert "takes a folder that user" in findings["folders"]["fix"]
    assert not findings["storage"]["ok"]


def test_a_port_that_somebody_else_has_is_found(patient: Patient) -> None:
    with socket.create_server(("127.0.0.1", int(patient.environment["TRYON_PORT"]))):
        findings = patient.examined()
    assert "another process listens on it" in findings["port"]["fix"]


def test_wrong_settings_are_findings(patient: Patient) -> None:
    findings = patient.examined(TRYON_PORT="http", TRYON_HOST="example.com")
    assert findings["TRYON_PORT"]["fix"] == "takes a whole number from 1 to 65,535"
    assert set(findings) == {"TRYON_PORT", "TRYON_HOST"}


def test_no_library_writes_on_standard_error(patient: Patient) -> None:
    command = [sys.executable, "-c", "from entrypoints.cli.main import main; main()", "doctor", "--json"]
    done = subprocess.run(command, check=False, capture_output=True, text=True, env=patient.environment | {"HOME": "/"})
    assert (done.returncode, done.stderr) == (1, "")  # without a home there are no models
    assert not {finding["check"]: finding for finding in json.loads(done.stdout)}["models"]["ok"]


# What a start needs


def test_a_start_names_the_folder_it_cannot_use(patient: Patient) -> None:
    done = patient.run("accounts", "list", TRYON_DATA_DIR="/dev/null/data")
    assert done.exit_code == 4
    assert "TRYON_DATA_DIR  /dev/null/data  a folder that user" in done.stderr


def test_a_start_names_the_database_whose_folder_it_cannot_use(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"TRYON_DATABASE_URL .*No such file or directory"):
        hold_data_folder(Settings(database_url=f"sqlite+aiosqlite:///{tmp_path}/absent/tryon.db"))


def test_a_start_names_the_port_it_cannot_have(patient: Patient) -> None:
    with socket.create_server(("127.0.0.1", int(patient.environment["TRYON_PORT"]))):
        done = patient.run("serve")
    assert done.exit_code == 4
    assert "a free port: another process listens on it" in done.stderr
    done = patient.run("serve", TRYON_HOST="192.0.2.1")
    assert "an address of this machine" in done.stderr


def test_the_data_folder_is_for_its_user_only(patient: Patient) -> None:
    assert Path(patient.environment["TRYON_DATA_DIR"]).stat().st_mode & 0o777 == 0o700


def test_a_key_or_a_database_that_other_users_may_read_is_found(patient: Patient) -> None:
    folder = Path(patient.environment["TRYON_DATA_DIR"])
    (folder / "signing.key").write_text("k" * 40)
    folder.chmod(0o755)
    (folder / "signing.key").chmod(0o640)
    found = patient.examined()["folder of TRYON_DATA_DIR"]
    assert found["fix"] == f"Other users may read signing.key. Run: chmod 700 {folder}"
