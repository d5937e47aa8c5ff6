"""The offline crop, with the real models."""

import io
import json
import os
import subprocess
import sys
from pathlib import Path

from PIL import Image

from tests.photos import astronaut

COMMAND = [sys.executable, "-c", "from entrypoints.cli.main import main; main()", "crop"]


def crop(*arguments: str | Path) -> "subprocess.CompletedProcess[str]":
    """In a process of its own: it gives up the network for good."""
    return subprocess.run([*COMMAND, *map(str, arguments)], check=False, capture_output=True, text=True, env=os.environ)


def test_a_folder_is_cropped_reported_and_drawn(tmp_path: Path) -> None:
    folder, output = tmp_path / "photos", tmp_path / "cropped"
    folder.mkdir()
    astronaut(900, 900).save(folder / "portrait.png")
    (folder / "notes.txt").write_text("not a photo")
    broken = tmp_path / "broken.jpg"
    whole = io.BytesIO()
    astronaut().save(whole, "JPEG")
    broken.write_bytes(whole.getvalue()[:-2000])
    done = crop(folder, broken, "-o", output, "--overlay", "--json")
    reports = json.loads(done.stdout)
    assert done.returncode == 1
    assert [Path(report["file"]).name for report in reports] == ["portrait.png", "broken.jpg"]
    assert reports[1]["error"] == "INVALID_IMAGE"
    assert reports[0]["person"]["count"] == 1
    with Image.open(reports[0]["output"]) as cropped:
        assert cropped.width * 5 == cropped.height * 4
    with Image.open(reports[0]["overlay"]) as overlay:
        assert overlay.size == (900, 900)


def test_without_json_a_line_says_what_was_done(tmp_path: Path) -> None:
    photo = tmp_path / "portrait.jpg"
    astronaut(800, 1000).save(photo)
    done = crop(photo, "-o", tmp_path)
    assert done.returncode == 0
    assert "1 seen" in done.stdout
    assert str(tmp_path / "portrait-jpg.jpg") in done.stdout
