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


def crop(*arguments: str | Path, **environment: str) -> "subprocess.CompletedProcess[str]":
    """In a process of its own: it gives up the network for good."""
    command = [*COMMAND, *map(str, arguments)]
    return subprocess.run(command, check=False, capture_output=True, text=True, env={**os.environ, **environment})


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


def test_the_report_tells_of_frames_and_of_what_was_added(tmp_path: Path) -> None:
    framed = Image.new("RGB", (400, 700), "black")
    framed.paste(astronaut(600, 600).crop((100, 0, 400, 600)), (50, 50))
    framed.save(tmp_path / "framed.png")
    done = crop(tmp_path / "framed.png", "-o", tmp_path / "cropped", "--fit", "pad", "--json")
    (report,) = json.loads(done.stdout)
    assert report["contentBox"] == {"x": 50, "y": 50, "width": 300, "height": 600}
    assert report["crop"] == report["contentBox"]
    assert report["pad"]["left"] + report["pad"]["right"] == 180


def test_without_json_a_line_says_what_was_done(tmp_path: Path) -> None:
    photo = tmp_path / "portrait.jpg"
    astronaut(800, 1000).save(photo)
    done = crop(photo, "-o", tmp_path / "cropped")
    assert done.returncode == 0
    assert "1 seen" in done.stdout
    assert str(tmp_path / "cropped" / "portrait.jpg") in done.stdout
    assert done.stderr.splitlines()[0] == "1 cropped, 0 refused."  # and no line of a library


def test_whatever_lies_in_a_folder_ends_no_batch_and_no_photo_replaces_another(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    for folder in (one, two):
        folder.mkdir()
        astronaut(400, 500).save(folder / "photo.jpg")
    astronaut(400, 500).save(one / "photo.PNG", "PNG")
    astronaut(400, 500).save(two / "PHOTO.JPG", "JPEG")
    (one / "album.jpg").mkdir()
    (one / "gone.jpg").symlink_to(one / "nowhere")
    (one / "notes.txt").write_text("not a photo")
    (one / "large.jpg").write_bytes(bytes(20_000))
    os.mkfifo(one / "pipe.jpg")
    sizes = {"TRYON_MAX_FILE_BYTES": str(15_000_000)}
    done = crop(one, two, tmp_path / "missing.jpg", "-o", one / "cropped", "--json", **sizes)
    reports = {report["file"].removeprefix(f"{tmp_path}/"): report for report in json.loads(done.stdout)}
    assert done.returncode == 1
    assert {name: report["error"] for name, report in reports.items() if "error" in report} == {
        "one/gone.jpg": "INVALID_IMAGE",
        "one/large.jpg": "UNSUPPORTED_IMAGE_FORMAT",
        "one/pipe.jpg": "INVALID_IMAGE",
        "missing.jpg": "INVALID_IMAGE",
    }
    assert "a file of zeros" in reports["one/large.jpg"]["message"]
    written = {Path(report["output"]).name for report in reports.values() if "output" in report}
    assert written == {"photo.jpg", "photo-2.jpg", "PHOTO-3.jpg", "photo-4.jpg"}
    assert written == {path.name for path in (one / "cropped").iterdir()}
    assert "album.jpg: a folder; name it to take its photos." in done.stderr
    assert "notes.txt: not the name of a photo." in done.stderr
    assert "4 cropped, 4 refused, 2 passed over." in done.stderr


def test_a_result_that_cannot_be_written_ends_no_batch(tmp_path: Path) -> None:
    longest = f"{'x' * 251}.jpg"
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        for name in (longest, "café.jpg" if folder == "one" else "cafe\u0301.jpg"):
            astronaut(40, 50).save(tmp_path / folder / name)
    done = crop(tmp_path / "one", tmp_path / "two", "-o", tmp_path / "cropped", "--json")
    reports = json.loads(done.stdout)
    assert done.returncode == 1
    assert [report["error"] for report in reports if "error" in report] == ["RESULT_NOT_WRITTEN"]
    assert {path.name for path in (tmp_path / "cropped").iterdir()} == {longest, "café.jpg", "cafe\u0301-2.jpg"}
    assert crop(tmp_path / "one", "-o", tmp_path / "one" / longest / "inside").returncode == 2


def test_a_file_that_no_upload_may_be_is_not_read(tmp_path: Path) -> None:
    astronaut(400, 500).save(tmp_path / "photo.png")
    done = crop(tmp_path / "photo.png", "-o", tmp_path / "cropped", "--json", TRYON_MAX_FILE_BYTES="1000")
    assert json.loads(done.stdout)[0]["error"] == "FILE_TOO_LARGE"


def test_results_never_lie_where_photos_are_taken_from(tmp_path: Path) -> None:
    astronaut(400, 500).save(tmp_path / "photo.jpg")
    before = (tmp_path / "photo.jpg").read_bytes()
    for named in (tmp_path, tmp_path / "photo.jpg"):
        done = crop(named, "-o", tmp_path)
        assert done.returncode == 2
        assert "Name another folder with -o" in done.stderr
    assert (tmp_path / "photo.jpg").read_bytes() == before
