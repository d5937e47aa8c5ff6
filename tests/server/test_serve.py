"""The whole service as a customer meets it: one command, sandboxed workers, real models, a real HEIC."""

import io
import os
import re
import resource
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import httpx
import pillow_heif
import pytest
import skimage.data
from click.testing import CliRunner
from PIL import Image

from entrypoints.cli.main import main as cli
from tests.free_port import free_port
from tests.live_server import answers
from tests.patience import PATIENCE_SECONDS, wait_until

KEY = "gk_dev_key-for-this-test"


@dataclass
class Server:
    """A running server and the folder of its data."""

    url: str
    data_dir: Path
    environment: dict[str, str]
    output: str

    def upload(self, photo: bytes, **fields: str) -> httpx.Response:
        files = {"file": ("photo.HEIC", photo, "image/heic")}
        headers = {"x-api-key": KEY}
        return httpx.post(
            f"{self.url}/tryon/v1/images/upload", files=files, data=fields, headers=headers, timeout=PATIENCE_SECONDS
        )

    def stored(self) -> list[Path]:
        return sorted((self.data_dir / "objects").glob("ttl-*/*"))


def wait_until_ready(url: str, process: "subprocess.Popen[str]") -> None:
    wait_until(lambda: process.poll() is not None or answers(url, "ready"), "the server did not become ready")
    assert process.poll() is None, "the server ended early"


def ended(process: "subprocess.Popen[str]") -> int:
    """The exit code, when it has been asked to end. It is killed if it does not: who is left would wait for it."""
    process.terminate()
    try:
        return process.wait(PATIENCE_SECONDS)
    finally:
        process.kill()


def wait_until_told(log: Path) -> None:
    """Until the banner is there: it comes a moment after the first answer."""
    wait_until(lambda: "is ready (stop with Ctrl-C)" in log.read_text())


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    port, data_dir = free_port(), tmp_path_factory.mktemp("data")
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("TRYON_")},
        "TRYON_PORT": str(port),
        "TRYON_DATA_DIR": str(data_dir),
        "TRYON_DEV_API_KEY": KEY,
        "TRYON_WORKERS": "1",
    }
    log = (data_dir / "server.log").open("w")
    command = [sys.executable, "-c", "from entrypoints.cli.main import main; main()", "serve"]
    with log, subprocess.Popen(command, env=environment, stdout=log, stderr=subprocess.STDOUT, text=True) as process:
        url = f"http://127.0.0.1:{port}"
        try:
            wait_until_ready(url, process)
            wait_until_told(data_dir / "server.log")
            yield Server(url, data_dir, environment, (data_dir / "server.log").read_text())
            assert ended(process) == 0
        finally:
            process.kill()  # a server that never gets ready must not hold up the tests


def a_heic() -> bytes:
    picture = Image.fromarray(skimage.data.astronaut()).resize((1024, 1024))
    out = io.BytesIO()
    pillow_heif.from_pillow(picture).save(out, quality=80)
    return out.getvalue()


def told(server: Server) -> str:
    """All that it said by now."""
    return (server.data_dir / "server.log").read_text()


def test_the_first_start_puts_a_key_into_a_file_that_only_its_owner_reads(server: Server) -> None:
    file = server.data_dir / "first-key"
    assert f"The first API key is in {file}" in told(server)
    assert file.stat().st_mode & 0o777 == 0o600
    key = file.read_text().strip()
    assert key not in told(server)
    answer = httpx.get(f"{server.url}/tryon/v1/images/img_none", headers={"x-api-key": key})
    assert answer.json()["code"] == "IMAGE_NOT_FOUND"


@pytest.mark.parametrize(("name", "answer"), [("Try it", "imageId"), ("New key", "gk_")])
def test_the_banner_has_commands_that_work_as_they_stand(server: Server, name: str, answer: str) -> None:
    command = next(line.partition(name)[2] for line in told(server).splitlines() if name in line)
    done = subprocess.run(
        ["sh", "-c", command], env=server.environment, capture_output=True, check=True, timeout=PATIENCE_SECONDS
    )
    assert answer in done.stdout.decode()


def test_no_other_program_speaks_at_the_start(server: Server) -> None:
    assert "granian" not in server.output


def test_the_banner_signs_in_to_the_page_once(server: Server) -> None:
    (token,) = re.findall(r"#sign-in=(\S+)", told(server))
    answers = [httpx.post(f"{server.url}/playground/sign-in", json={"token": token}).status_code for _ in range(2)]
    assert answers == [200, 401]


def test_a_real_heic_becomes_an_upright_4_to_5_srgb_jpeg_around_the_person(server: Server) -> None:
    answer = server.upload(a_heic(), externalUserId="ann")
    body = answer.json()
    assert answer.status_code == 201
    assert body["source"] == {"format": "HEIC", "width": 1024, "height": 1024}
    assert body["width"] * 5 == body["height"] * 4
    face, crop = body["person"]["face"], body["crop"]
    assert crop["x"] <= face["x"]
    assert crop["y"] <= face["y"]
    assert face["x"] + face["width"] <= crop["x"] + crop["width"]
    with Image.open(io.BytesIO(httpx.get(body["imageUrl"]).content)) as picture:
        assert (picture.format, picture.mode, picture.size) == ("JPEG", "RGB", (body["width"], body["height"]))
        assert not picture.info.keys() & {"exif", "icc_profile", "comment", "xmp"}


def test_an_image_that_is_deleted_leaves_no_file(server: Server) -> None:
    before = server.stored()
    image_id = server.upload(a_heic()).json()["imageId"]
    assert len(server.stored()) == len(before) + 1
    httpx.delete(f"{server.url}/tryon/v1/images/{image_id}", headers={"x-api-key": KEY}).raise_for_status()
    assert server.stored() == before


def test_an_id_that_a_path_would_swallow_is_refused_before_it_is_kept(server: Server) -> None:
    answer = server.upload(a_heic(), externalUserId="..")
    assert (answer.status_code, answer.json()["details"][0]["path"]) == (400, "externalUserId")


def test_an_id_of_dots_between_slashes_reaches_us_as_it_was_sent(server: Server) -> None:
    host, port = server.url.removeprefix("http://").split(":")
    image_id = server.upload(a_heic(), externalUserId="a/../b").json()["imageId"]
    with socket.create_connection((host, int(port))) as connection:
        request = (
            f"DELETE /tryon/v1/customers/a/../b HTTP/1.1\r\nHost: x\r\nx-api-key: {KEY}\r\nConnection: close\r\n\r\n"
        )
        connection.sendall(request.encode())
        assert connection.recv(4096).startswith(b"HTTP/1.1 204")
    gone = httpx.get(f"{server.url}/tryon/v1/images/{image_id}", headers={"x-api-key": KEY})
    assert gone.json()["code"] == "IMAGE_NOT_FOUND"


def test_a_body_that_is_too_large_is_refused_without_reading_it_all(server: Server) -> None:
    head = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.jpg"\r\n\r\n'

    def body() -> Iterator[bytes]:
        yield head
        for _ in range(11 * 16):
            yield bytes(64 * 1024)

    headers = {"x-api-key": KEY, "content-type": "multipart/form-data; boundary=b"}
    answer = httpx.post(
        f"{server.url}/tryon/v1/images/upload", content=body(), headers=headers, timeout=PATIENCE_SECONDS
    )
    assert (answer.status_code, answer.json()["code"]) == (413, "FILE_TOO_LARGE")


def test_the_command_line_purges_what_the_server_stored(server: Server) -> None:
    done = CliRunner().invoke(cli, ["purge", "--json"], env=server.environment)
    assert done.exit_code == 0, done.output


def test_silent_connections_stop_nobody(server: Server) -> None:
    """More of them than Granian takes by default."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(4096, hard)), hard))
    host, port = server.url.removeprefix("http://").split(":")
    with ExitStack() as silent:
        for _ in range(1_500):
            silent.enter_context(socket.create_connection((host, int(port)), timeout=PATIENCE_SECONDS))
        assert httpx.get(f"{server.url}/health/live").status_code == 200
        answer = httpx.get(f"{server.url}/tryon/v1/images/none", headers={"x-api-key": KEY})
        assert answer.json()["code"] == "IMAGE_NOT_FOUND"
