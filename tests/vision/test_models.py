import os
import shutil
import zipfile
from pathlib import Path

import pytest

from adapters.vision import models
from tests.vision.conftest import MODEL_DIR


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """A folder of its own with all the models."""
    directory = tmp_path / "models"
    shutil.copytree(MODEL_DIR, directory, ignore=lambda _, names: [name for name in names if name not in models.SHA256])
    assert models.missing(directory) == ()
    return directory


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """pip reads this and asks no index."""
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)


@pytest.mark.usefixtures("offline")
def test_an_installed_folder_is_left_alone_without_any_network(installed: Path) -> None:
    before = {file.name: file.stat().st_mtime_ns for file in installed.iterdir()}
    said: list[str] = []
    models.install(installed, said.append)
    assert said == []
    assert {file.name: file.stat().st_mtime_ns for file in installed.iterdir()} == before


def test_a_damaged_file_counts_as_missing(installed: Path) -> None:
    content = bytearray((installed / models.FACE).read_bytes())
    content[1000] ^= 1
    (installed / models.FACE).write_bytes(content)
    assert models.missing(installed) == (models.FACE,)


def test_an_empty_folder_misses_every_model(tmp_path: Path) -> None:
    assert set(models.missing(tmp_path / "nowhere")) == set(models.SHA256)


@pytest.mark.usefixtures("offline")
def test_without_network_one_line_says_what_to_do_and_nothing_is_left_behind(tmp_path: Path) -> None:
    with pytest.raises(
        models.ModelInstallationFailed, match=r"^Cannot download mediapipe==0\.10\.21: .+ run this again\.$"
    ):
        models.install(tmp_path / "models", lambda _: None)
    assert list((tmp_path / "models").iterdir()) == []


@pytest.mark.usefixtures("offline")
def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "models").write_text("a file where the folder should be")
    with pytest.raises(models.ModelInstallationFailed, match=r"^Cannot write the models to .+models: File exists"):
        models.install(tmp_path / "models", lambda _: None)


def test_the_pose_bundle_holds_both_models_uncompressed_as_mediapipe_maps_them(installed: Path) -> None:
    with zipfile.ZipFile(installed / models.POSE) as bundle:
        members = {member.filename: member.compress_type for member in bundle.infolist()}
    assert members == {
        "pose_detector.tflite": zipfile.ZIP_STORED,
        "pose_landmarks_detector.tflite": zipfile.ZIP_STORED,
    }


def test_what_a_killed_installation_left_goes_and_a_running_one_is_left_alone(tmp_path: Path) -> None:
    abandoned, running = tmp_path / ".install-abandoned", tmp_path / ".install-running"
    for folder in (abandoned, running):
        folder.mkdir()
        (folder / "wheel.whl").write_bytes(b"half")
    os.utime(abandoned, (0, 0))
    models._remove_leftovers(tmp_path)
    assert list(tmp_path.iterdir()) == [running]
