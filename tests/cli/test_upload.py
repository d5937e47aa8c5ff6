"""Uploading by the hundred: into a service that answers, puts off, refuses or is silent, and without any server."""

import csv
import io
import json
import os
import pty
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from click.testing import CliRunner, Result

from entrypoints.cli import upload as uploading
from entrypoints.cli.main import main
from tests.http.conftest import a_jpeg
from tests.live_shop import LiveShop, a_live_shop
from tests.patience import PATIENCE_SECONDS

URL = "https://photos.test"
ANSWER = {"imageId": "img_1", "imageUrl": "https://x", "width": 8, "height": 10, "warnings": []}


@dataclass
class FakeService:
    """Speaks the contract; `answers` come first, whatever is asked."""

    answers: list[httpx.Response] = field(default_factory=list)
    is_silent: bool = False
    requests: list[httpx.Request] = field(default_factory=list)

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        if self.is_silent:
            raise httpx.ConnectError("refused")
        if self.answers:
            return self.answers.pop(0)
        warnings = [{"code": "LOW_RESOLUTION", "message": "…"}] if b"small" in request.content else []
        return httpx.Response(201, json=ANSWER | {"warnings": warnings})

    def keys(self) -> list[str]:
        return [request.headers["idempotency-key"] for request in self.requests]


def an_error(status: int, code: str, **headers: str) -> httpx.Response:
    return httpx.Response(
        status,
        json={"code": code, "message": f"It is {code}.", "status": status, "requestId": "r"},
        headers={name.replace("_", "-"): value for name, value in headers.items()},
    )


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> FakeService:
    service = FakeService()
    real = httpx.AsyncClient

    def client(**options: Any) -> httpx.AsyncClient:
        return real(**options, transport=httpx.MockTransport(service))

    monkeypatch.setattr(httpx, "AsyncClient", client)
    monkeypatch.setattr(uploading, "PAUSES", (0.01, 0.01))
    return service


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    (folder / "album.jpg").mkdir(parents=True)
    (folder / "a.jpg").write_bytes(b"a photo")
    (folder / "B.JPG").write_bytes(b"a small photo")
    (folder / "notes.txt").write_text("no photo")
    (folder / "gone.png").symlink_to(folder / "nowhere")
    return folder


def upload(*arguments: object, to: str | None = URL, stdin: bytes | None = None, **environment: str) -> Result:
    command = ["upload", *map(str, arguments), *(["--to", to] if to else [])]
    return CliRunner().invoke(main, command, input=stdin, env={"API_KEY": "gk_secret", **environment})


def test_a_folder_is_uploaded_with_a_word_on_all_that_is_not(service: FakeService, photos: Path) -> None:
    done = upload(photos, "--json")
    reports = {Path(report["file"]).name: report for report in map(json.loads, done.stdout.splitlines())}
    assert done.exit_code == 1
    assert len(service.requests) == 2
    assert set(reports) == {"a.jpg", "B.JPG", "gone.png"}
    assert reports["a.jpg"]["imageId"] == "img_1"
    assert reports["gone.png"]["error"] == "INVALID_IMAGE"
    assert "No such file" in reports["gone.png"]["message"]
    assert "album.jpg: a folder; name it to take its photos." in done.stderr
    assert "notes.txt: not the name of a photo." in done.stderr
    assert "2 uploaded, 1 INVALID_IMAGE, 2 passed over." in done.stderr
    assert "Warnings: LOW_RESOLUTION 1." in done.stderr


def test_the_service_gets_the_key_the_fields_and_no_file_name(service: FakeService, photos: Path) -> None:
    options = ("--external-user-id", "ann", "--keep-for-days", "3", "--no-crop", "--fit", "pad", "--at-once", "1")
    assert upload(photos / "a.jpg", *options, to=f"{URL}/tryon/v1/").exit_code == 0
    (request,) = service.requests
    assert str(request.url) == f"{URL}/tryon/v1/images/upload"
    assert request.headers["x-api-key"] == "gk_secret"
    for name, value in {"externalUserId": "ann", "keepForDays": "3", "crop": "false", "fit": "pad"}.items():
        assert f'name="{name}"\r\n\r\n{value}\r\n'.encode() in request.content
    assert b"a photo" in request.content
    assert b"a.jpg" not in request.content


def test_the_same_photo_has_the_same_key_and_with_other_fields_another(service: FakeService, photos: Path) -> None:
    for days in ("1", "1", "7"):
        upload(photos / "a.jpg", "--keep-for-days", days)
    upload(photos / "B.JPG", "--keep-for-days", "1")
    first, again, other_days, other_photo = service.keys()
    assert first == again
    assert len({first, other_days, other_photo}) == 3


def test_standard_input_is_a_photo(service: FakeService) -> None:
    assert upload("-", stdin=b"a photo from a pipe").exit_code == 0
    assert b"a photo from a pipe" in service.requests[0].content


def test_csv_has_a_line_for_each_photo(service: FakeService, photos: Path) -> None:
    service.answers = [an_error(415, "UNSUPPORTED_IMAGE_FORMAT")]
    done = upload(photos / "a.jpg", photos / "B.JPG", "--csv", "--at-once", "1")
    rows = list(csv.DictReader(io.StringIO(done.stdout)))
    assert [(Path(row["file"]).name, row["imageId"], row["warnings"], row["error"]) for row in rows] == [
        ("a.jpg", "", "", "UNSUPPORTED_IMAGE_FORMAT"),
        ("B.JPG", "img_1", "LOW_RESOLUTION", ""),
    ]


def test_a_photo_that_is_put_off_is_sent_again_with_the_same_key(service: FakeService, photos: Path) -> None:
    service.answers = [
        an_error(429, "RATE_LIMITED", retry_after="0"),
        an_error(409, "IDEMPOTENCY_KEY_IN_USE", retry_after="0"),
        an_error(503, "OVERLOADED", retry_after="0"),
        httpx.Response(502, text="<html>"),
    ]
    assert upload(photos / "a.jpg").exit_code == 0
    assert len(service.requests) == 5
    assert len(set(service.keys())) == 1


def test_a_service_that_is_silent_ends_the_batch(service: FakeService, photos: Path) -> None:
    service.is_silent = True
    done = upload(photos / "a.jpg", photos / "B.JPG", "--json", "--at-once", "1")
    assert done.exit_code == 3
    assert [json.loads(line)["error"] for line in done.stdout.splitlines()] == ["UNREACHABLE"]
    assert "0 uploaded, 1 UNREACHABLE, 1 not tried." in done.stderr


def test_an_address_that_is_none_is_wrong_usage_before_anything_is_sent(service: FakeService, photos: Path) -> None:
    for address in ("photos.example.com", "localhost:8000", "ftp://photos.example.com"):
        done = upload(photos / "a.jpg", to=address)
        assert (done.exit_code, service.requests) == (2, [])
        assert "must begin with https:// or http://" in done.stderr


def test_a_wrong_key_is_told_as_the_service_tells_it(service: FakeService, photos: Path) -> None:
    service.answers = [an_error(401, "INVALID_API_KEY")]
    done = upload(photos / "a.jpg")
    assert done.exit_code == 1
    assert "INVALID_API_KEY: It is INVALID_API_KEY." in done.stdout


def test_without_a_key_it_says_where_to_put_it(photos: Path, tmp_path: Path, service: FakeService) -> None:
    done = upload(photos / "a.jpg", API_KEY="")
    assert done.exit_code == 2
    assert "--key-file" in done.stderr
    (tmp_path / "key").write_text("gk_of_a_file\n")
    assert upload(photos / "a.jpg", "--key-file", tmp_path / "key", API_KEY="").exit_code == 0
    assert service.requests[0].headers["x-api-key"] == "gk_of_a_file"


def test_one_photo_twice_is_one_photo(service: FakeService, photos: Path) -> None:
    assert upload(photos / "a.jpg", photos, photos / ".." / "photos" / "a.jpg", "--json").exit_code == 1
    assert len(service.requests) == 2


# Without a server


@contextmanager
def an_embedded_service(data_dir: Path) -> Iterator[dict[str, str]]:
    environment = {**os.environ, "TRYON_DATA_DIR": str(data_dir), "TRYON_WORKERS": "1"}
    for command in (["db", "upgrade"], ["accounts", "create", "acme", "--keep-for-days", "3"]):
        assert CliRunner().invoke(main, command, env=environment).exit_code == 0
    yield environment


def test_photos_go_straight_into_the_embedded_service_and_only_once(tmp_path: Path) -> None:
    photo = tmp_path / "photo.jpg"
    photo.write_bytes(a_jpeg(400, 500))
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(a_jpeg(400, 500)[:900])
    with an_embedded_service(tmp_path / "data") as environment:
        lines = []
        for _ in range(2):
            arguments = ("upload", str(photo), str(broken), "--account", "acme", "--json", "--at-once", "1")
            done = CliRunner().invoke(main, arguments, env=environment)
            assert done.exit_code == 1, done.output
            lines.append([json.loads(line) for line in done.stdout.splitlines()])
    (first, damaged), (again, _) = lines
    assert (first["keepForDays"], first["width"], first["height"]) == (3, 400, 500)
    assert damaged["error"] == "INVALID_IMAGE"
    assert first["imageId"] == again["imageId"]
    assert len(list((tmp_path / "data" / "objects").rglob("*.jpg"))) == 1


def test_an_account_that_is_not_there_is_told(tmp_path: Path) -> None:
    photo = tmp_path / "photo.jpg"
    photo.write_bytes(a_jpeg(400, 500))
    with an_embedded_service(tmp_path / "data") as environment:
        done = CliRunner().invoke(main, ["upload", str(photo), "--account", "nobody"], env=environment)
    assert done.exit_code == 1
    assert '"nobody"' in done.stderr


def test_what_was_uploaded_is_listed_and_goes_with_its_account(tmp_path: Path) -> None:
    for name, size in (("one", 400), ("two", 440)):
        (tmp_path / f"{name}.jpg").write_bytes(a_jpeg(size, size))
    with an_embedded_service(tmp_path / "data") as environment:

        def run(*command: str) -> Result:
            return CliRunner().invoke(main, command, env=environment)

        photos = (str(tmp_path / "one.jpg"), str(tmp_path / "two.jpg"))
        uploaded = run("upload", *photos, "--account", "acme", "--json").stdout.splitlines()
        ids = {json.loads(line)["imageId"] for line in uploaded}
        listed = json.loads(run("images", "list", "--account", "acme", "--json").stdout)
        assert {image["imageId"] for image in listed} == ids
        assert json.loads(run("images", "list", "--account", "acme", "--expiring", "1", "--json").stdout) == []
        assert len(json.loads(run("images", "list", "--account", "acme", "--expiring", "73", "--json").stdout)) == 2
        assert len(json.loads(run("images", "list", "--account", "acme", "--limit", "1", "--json").stdout)) == 1
        (entry,) = [it for it in json.loads(run("audit", "--json").stdout) if it["action"] == "images_uploaded"]
        assert entry["facts"] == {"images": 2}
        deleted = json.loads(run("accounts", "delete", "acme", "--yes", "--json").stdout)
        assert deleted == {"keysRevoked": 0, "imagesDeleted": 2, "productsDeleted": 0, "bytesLeft": 0}
    assert list((tmp_path / "data" / "objects").rglob("*.jpg")) == []


# Against a running service, as a person runs it


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveShop]:
    with a_live_shop(tmp_path_factory.mktemp("shop")) as shop:
        yield shop


@pytest.fixture(scope="module")
def album(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("album")
    for number in range(1, 4):
        (folder / f"{number}.jpg").write_bytes(a_jpeg(400 + number, 500))
    return folder


PROGRAM = [sys.executable, "-c", "from entrypoints.cli.main import main; main()", "upload"]


def as_a_program(
    shop: LiveShop, *arguments: object, stdin: bytes = b"", key: str = ""
) -> "subprocess.CompletedProcess[bytes]":
    command = [*PROGRAM, *map(str, arguments), "--to", shop.url]
    environment = os.environ | {"API_KEY": key or shop.key}
    return subprocess.run(
        command, env=environment, input=stdin, capture_output=True, timeout=PATIENCE_SECONDS, check=False
    )


def on_a_terminal(shop: LiveShop, *arguments: object) -> tuple[int, str, str]:
    """Exit code, standard output, and what a person sees beside it."""
    environment = os.environ | {"API_KEY": shop.key, "TERM": "xterm-256color", "COLUMNS": "100"}
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [*PROGRAM, *map(str, arguments), "--to", shop.url], stdout=subprocess.PIPE, stderr=theirs, env=environment
    ) as process:
        os.close(theirs)
        seen = b""
        with suppress(OSError):  # EIO: nobody writes any more
            while told := os.read(ours, 4096):
                seen += told
        answer, _ = process.communicate(timeout=PATIENCE_SECONDS)
    os.close(ours)
    return process.returncode, answer.decode(), re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", seen.decode())


def test_a_terminal_sees_total_and_rate_and_the_summary(shop: LiveShop, album: Path) -> None:
    code, answer, seen = on_a_terminal(shop, album, "--csv")
    assert code == 0
    assert [row["error"] for row in csv.DictReader(io.StringIO(answer))] == [""] * 3
    assert re.search(r"Uploading .* 3/3 \d+\.\d/s", seen)
    assert "3 uploaded." in seen
    assert re.search(r"Warnings: .*LOW_RESOLUTION 3", seen)


def test_what_was_interrupted_goes_on_and_stores_nothing_twice(shop: LiveShop, album: Path) -> None:
    def ids(*photos: Path) -> dict[str, str]:
        done = as_a_program(shop, *photos, "--json")
        assert done.returncode == 0, done.stderr
        reports = [json.loads(line) for line in done.stdout.splitlines()]
        return {Path(report["file"]).name: report["imageId"] for report in reports}

    first = ids(album / "1.jpg")
    every = ids(album)
    assert every["1.jpg"] == first["1.jpg"]
    assert len(set(every.values())) == 3
    (album / "a copy.jpg").write_bytes((album / "2.jpg").read_bytes())
    assert ids(album)["a copy.jpg"] == every["2.jpg"]


def test_a_photo_comes_from_a_pipe_and_a_wrong_key_is_told(shop: LiveShop, album: Path) -> None:
    photo = (album / "3.jpg").read_bytes()
    piped = as_a_program(shop, "-", "--json", stdin=photo)
    assert (piped.returncode, json.loads(piped.stdout)["width"]) == (0, 400)
    refused = as_a_program(shop, "-", "--json", stdin=photo, key="gk_wrong")
    assert (refused.returncode, json.loads(refused.stdout)["error"]) == (1, "INVALID_API_KEY")
