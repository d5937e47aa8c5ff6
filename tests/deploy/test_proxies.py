"""Proxies and systemd: the proxies' files, with addresses of this machine, are run in front of a service."""

import io
import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest
import yaml
from PIL import Image

from entrypoints.server.process import OTHER_FILES, SHUTDOWN_SECONDS
from entrypoints.wiring.environment import load_settings
from tests.free_port import free_port
from tests.http.conftest import API, a_jpeg
from tests.live_shop import IS_CI, LiveShop, a_live_shop
from tests.patience import PATIENCE_SECONDS, wait_until
from tests.sql.certificates import Certificates

pytestmark = pytest.mark.xdist_group("proxies")

ROOT = Path(__file__).parents[2]
FILES = ROOT / "deploy" / "proxies"
UNIT = ROOT / "deploy" / "systemd" / "tryon-images.service"
ODD_PATH = "/a%2Fb//c%3Fd%23e%25f%5Cg%3Bh%20i/../j"
"""As it may look after `/customers`: every character that a proxy likes to decode, merge or refuse."""
CUSTOMER = "gid://shopify/Customer/4711"
MB = 1024 * 1024
NGINX, CADDY, TRAEFIK, BUFFERING = "nginx", "caddy", "traefik", "buffering"
PROXIES = (NGINX, CADDY, TRAEFIK)
PATH = f"{Path(sys.executable).parent}:{os.environ['PATH']}"  # Traefik comes from PyPI


@dataclass(frozen=True)
class Proxy:
    """A proxy in front of a service, in front of nothing, and in front of a listener that tells what it is sent."""

    name: str
    client: httpx.Client
    cut_off: httpx.Client
    overheard: httpx.Client
    listener: socket.socket
    trusted: ssl.SSLContext
    pair: Path
    shop: LiveShop
    folder: Path

    def upload(self, photo: bytes, key: str | None = None) -> httpx.Response:
        return self.client.post(
            f"{API}/images/upload",
            files={"file": ("a.jpg", photo)},
            data={"externalUserId": CUSTOMER},
            headers={"x-api-key": key or self.shop.key},
        )


@pytest.fixture(scope="module", params=PROXIES)
def proxy(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    name = request.param
    if shutil.which(name, path=PATH) is None:
        assert not IS_CI, f"{name} is not installed"
        pytest.skip(f"{name} is not installed here; `.ci/run` does")
    folder, tls = tmp_path_factory.mktemp(name), tmp_path_factory.mktemp("tls")
    certificates = Certificates(tls)
    certificates.issue("localhost", tls / "localhost")
    trusted = ssl.create_default_context(cafile=str(certificates.ca_file))
    with ExitStack() as stack:
        shop = stack.enter_context(a_live_shop(tmp_path_factory.mktemp("shop"), trusted_proxy="127.0.0.1"))
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        listener.settimeout(PATIENCE_SECONDS)
        urls = {
            "client": shop.url.removeprefix("http://"),
            "cut_off": f"127.0.0.1:{free_port()}",
            "overheard": f"127.0.0.1:{listener.getsockname()[1]}",
        }
        clients = {
            way: stack.enter_context(running(name, folder / way, upstream, tls / "localhost", trusted))
            for way, upstream in urls.items()
        }

        yield Proxy(
            name=name,
            **clients,
            listener=listener,
            trusted=trusted,
            pair=tls / "localhost",
            shop=shop,
            folder=folder,
        )


@contextmanager
def running(name: str, folder: Path, upstream: str, pair: Path, trusted: ssl.SSLContext) -> Iterator[httpx.Client]:
    folder.mkdir()
    port = free_port()
    command = COMMANDS[name](folder, port, upstream, pair)
    environment = os.environ | {
        "PATH": PATH,
        "HOME": str(folder),
        "XDG_DATA_HOME": str(folder),
        "XDG_CONFIG_HOME": str(folder),
    }
    with (
        (folder / "output.log").open("w") as log,
        subprocess.Popen(command, env=environment, stdout=log, stderr=subprocess.STDOUT) as process,
        httpx.Client(base_url=f"https://localhost:{port}", verify=trusted) as client,
    ):
        try:
            wait_until_it_is_itself(port, process, trusted)
            yield client
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(PATIENCE_SECONDS)


def nginx(folder: Path, port: int, upstream: str, pair: Path) -> list[str]:
    here = {
        "server 127.0.0.1:8000;": f"server {upstream};",
        "listen 80;": f"listen 127.0.0.1:{free_port()};",
        "listen 443 ssl": f"listen 127.0.0.1:{port} ssl",
        "/etc/letsencrypt/live/photos.example.com/fullchain.pem": f"{pair}.crt",
        "/etc/letsencrypt/live/photos.example.com/privkey.pem": f"{pair}.key",
        "/var/log/nginx/": f"{folder}/",
    }
    (folder / "site.conf").write_text(replaced("nginx.conf", here))
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    temporary = "".join(f"{kind}_temp_path {folder}/{kind};" for kind in kinds)
    user = "user root;" if os.geteuid() == 0 else ""
    (folder / "nginx.conf").write_text(
        f"{user} daemon off; pid {folder}/pid; events {{ }}\n"
        f"http {{ access_log {folder}/access.log; {temporary} include {folder}/site.conf; }}"
    )
    return ["nginx", "-c", str(folder / "nginx.conf"), "-e", str(folder / "error.log")]


def caddy(folder: Path, port: int, upstream: str, pair: Path) -> list[str]:
    here = {
        "{\n\t# Caddy's lines": "{\n\tadmin off\n\tauto_https disable_redirects\n\t# Caddy's lines",
        "photos.example.com {": f"https://localhost:{port} {{\n\tbind 127.0.0.1\n\ttls {pair}.crt {pair}.key",
        "reverse_proxy 127.0.0.1:8000": f"reverse_proxy {upstream}",
    }
    (folder / "Caddyfile").write_text(replaced("Caddyfile", here))
    return ["caddy", "run", "--config", str(folder / "Caddyfile"), "--adapter", "caddyfile"]


def traefik(folder: Path, port: int, upstream: str, pair: Path) -> list[str]:
    route = {
        "photos.example.com": "localhost",
        "http://127.0.0.1:8000": f"http://{upstream}",
        "\n        certResolver: letsencrypt": " {}",
    }
    certificate = f"\ntls: {{certificates: [{{certFile: {pair}.crt, keyFile: {pair}.key}}]}}\n"
    (folder / "traefik-dynamic.yaml").write_text(replaced("traefik-dynamic.yaml", route) + certificate)
    static = {
        '":80"': f'"127.0.0.1:{free_port()}"',
        '":443"': f'"127.0.0.1:{port}"',
        "/etc/traefik/traefik-dynamic.yaml": f"{folder}/traefik-dynamic.yaml",
        "/var/lib/traefik": str(folder),
    }
    (folder / "traefik.yaml").write_text(replaced("traefik.yaml", static))
    return ["traefik", f"--configFile={folder}/traefik.yaml"]


def replaced(file: str, here: dict[str, str]) -> str:
    text = (FILES / file).read_text()
    for theirs, ours in here.items():
        assert text.count(theirs) == 1, theirs
        text = text.replace(theirs, ours)
    return text


def buffering_nginx(folder: Path, port: int, upstream: str, pair: Path) -> list[str]:
    """With `proxy_request_buffering` as it is where nobody says anything: a body is collected first."""
    command = nginx(folder, port, upstream, pair)
    site = (folder / "site.conf").read_text()
    assert site.count("proxy_request_buffering off;") == 1
    (folder / "site.conf").write_text(site.replace("proxy_request_buffering off;", ""))
    return command


def wait_until_it_is_itself(port: int, process: "subprocess.Popen[bytes]", trusted: ssl.SSLContext) -> None:
    """Traefik listens with a certificate of its own making before it has read the one that it was given."""

    def is_itself() -> bool:
        assert process.poll() is None, "it ended"
        with (
            suppress(OSError),
            socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_SECONDS) as plain,
            trusted.wrap_socket(plain, server_hostname="localhost"),
        ):
            return True
        return False

    wait_until(is_itself, "it does not listen, or not as itself")


COMMANDS = {NGINX: nginx, CADDY: caddy, TRAEFIK: traefik, BUFFERING: buffering_nginx}


def a_photo_of_nine_megabytes() -> bytes:
    out = io.BytesIO()
    Image.frombytes("RGB", (2700, 2400), os.urandom(2700 * 2400 * 3)).save(out, "JPEG", quality=97)
    photo = out.getvalue()
    assert 8.5 * MB < len(photo) < 10 * MB, len(photo)
    return photo


def test_health_passes(proxy: Proxy) -> None:
    answer = proxy.client.get("/health/live")
    assert answer.status_code == 200
    assert answer.headers["strict-transport-security"] == "max-age=31536000"


def test_a_large_photo_passes_and_comes_back(proxy: Proxy) -> None:
    uploaded = proxy.upload(a_photo_of_nine_megabytes())
    assert uploaded.status_code == 201
    kept = proxy.client.get(httpx.URL(uploaded.json()["imageUrl"]).raw_path.decode())
    assert (kept.status_code, kept.content[:2]) == (200, b"\xff\xd8")


@pytest.mark.parametrize(
    ("size", "key", "refusal"),
    [(4 * MB, "gk_a_wrong", (401, "INVALID_API_KEY")), (40 * MB, None, (413, "FILE_TOO_LARGE"))],
)
def test_a_refusal_arrives_as_the_service_sent_it(
    proxy: Proxy, size: int, key: str | None, refusal: tuple[int, str]
) -> None:
    answer = proxy.upload(a_jpeg() + bytes(size), key)
    assert (answer.status_code, answer.json()["code"]) == refusal
    assert answer.headers["content-type"].startswith("application/json")


def test_the_service_hears_of_an_upload_before_its_body_is_there(proxy: Proxy) -> None:
    url = proxy.overheard.base_url
    began = time.time()
    with (
        socket.create_connection((url.host, url.port or 443), timeout=PATIENCE_SECONDS) as plain,
        proxy.trusted.wrap_socket(plain, server_hostname=url.host) as client,
    ):
        client.sendall(
            f"POST {ODD_PATH} HTTP/1.1\r\nhost: {url.host}\r\nx-request-start: t=1\r\nx-forwarded-for: 192.0.2.1\r\n"
            "x-request-time: 777\r\n"
            f"content-length: {4 * MB}\r\n\r\nfirst bytes".encode()
        )
        heard = what_is_sent_to(proxy.listener)
    assert heard.startswith(f"POST {ODD_PATH} HTTP/1.1\r\n")
    forwarded = dict(re.findall(r"^x-forwarded-(\w+): (.*?)\r$", heard.lower(), re.MULTILINE))
    assert (forwarded["for"], forwarded["proto"]) == ("127.0.0.1", "https")
    said = re.findall(r"(?im)^x-request-start: t=([\d.]+)\r$", heard)
    if proxy.name == TRAEFIK:
        assert said == [], "it cannot say when, and the client may not"
        return
    (started,) = said
    seconds = float(started) if "." in started else int(started) / 1000
    assert began - 1 < seconds < time.time() + 1
    assert "x-request-time: 777" not in heard.lower()


def what_is_sent_to(listener: socket.socket) -> str:
    """All until the first bytes of the body. Raises: TimeoutError."""
    heard = b""
    with listener.accept()[0] as connection:
        connection.settimeout(PATIENCE_SECONDS)
        while b"first bytes" not in heard:
            heard += connection.recv(4096)
    return heard.decode()


def test_an_erasure_reaches_who_is_meant(proxy: Proxy) -> None:
    assert proxy.upload(a_jpeg()).status_code == 201
    erased = proxy.client.delete(f"{API}/customers/{quote(CUSTOMER, safe='')}", headers={"x-api-key": proxy.shop.key})
    assert (erased.status_code, int(erased.headers["x-images-erased"]) > 0) == (204, True)


def test_an_upload_on_its_way_in_the_proxy_does_not_survive_an_erasure(proxy: Proxy) -> None:
    if proxy.name != NGINX:
        pytest.skip("only nginx collects bodies by itself")
    photo, boundary = a_photo_of_nine_megabytes(), "limit"
    named = f'--{boundary}\r\ncontent-disposition: form-data; name="externalUserId"\r\n\r\n{CUSTOMER}\r\n'
    file = f'--{boundary}\r\ncontent-disposition: form-data; name="file"; filename="a.jpg"\r\n\r\n'
    body = named.encode() + file.encode() + photo + f"\r\n--{boundary}--\r\n".encode()
    head = (
        f"POST {API}/images/upload HTTP/1.1\r\nhost: localhost\r\nx-api-key: {proxy.shop.key}\r\nconnection: close\r\n"
        f"content-type: multipart/form-data; boundary={boundary}\r\ncontent-length: {len(body)}\r\n"
        f"x-request-start: t={time.time() + 60:.3f}\r\nx-request-time: 0\r\n\r\n"
    )
    folder = proxy.folder / BUFFERING
    with running(BUFFERING, folder, proxy.shop.url.removeprefix("http://"), proxy.pair, proxy.trusted) as buffering:
        url = buffering.base_url
        with (
            socket.create_connection((url.host, url.port or 443), timeout=PATIENCE_SECONDS) as plain,
            proxy.trusted.wrap_socket(plain, server_hostname=url.host) as client,
        ):
            client.sendall(head.encode() + body[: 4 * MB])
            wait_until(lambda: is_held_open(folder / "client_body"))  # nginx collects
            key = {"x-api-key": proxy.shop.key}
            erased = httpx.post(f"{proxy.shop.url}{API}/customers/erase", json={"customerId": CUSTOMER}, headers=key)
            assert (erased.status_code, erased.json()["status"]) == (200, "ERASED")
            time.sleep(2.5)  # longer than the tolerance: what arrives now is refused for when it began
            client.sendall(body[4 * MB :])
            answer = b"".join(iter(lambda: client.recv(65_536), b""))
        assert answer.startswith(b"HTTP/1.1 409 ")
        assert b"CUSTOMER_ERASED" in answer
        anew = buffering.post(
            f"{API}/images/upload", files={"file": ("a.jpg", photo)}, data={"externalUserId": CUSTOMER}, headers=key
        )
        assert anew.status_code == 201


def is_held_open(folder: Path) -> bool:
    """Whether some process has a file open that was made there; nginx removes its name at once."""
    for descriptor in Path("/proc").glob("[0-9]*/fd/[0-9]*"):
        with suppress(OSError):
            if str(descriptor.readlink()).startswith(f"{folder}/"):
                return True
    return False


def test_no_log_or_file_of_the_proxy_names_anybody(proxy: Proxy) -> None:
    path = f"{API}/customers/{quote(CUSTOMER, safe='')}"
    assert proxy.cut_off.delete(path, headers={"x-api-key": proxy.shop.key}).status_code in {502, 504}
    assert proxy.client.get(f"{path}?of={proxy.shop.key}").status_code in {401, 404, 405}
    written = b"".join(file.read_bytes() for file in proxy.folder.rglob("*") if file.is_file())
    names = ("Customer/4711", "Customer%2F4711")  # the digits alone may be those of a port or a time
    secrets = (proxy.shop.key, *names, "\xff\xd8")
    assert [secret for secret in secrets if secret.encode("latin-1") in written] == []


def test_traefiks_route_uses_what_its_static_file_has() -> None:
    static, route = (yaml.safe_load((FILES / f"{name}.yaml").read_text()) for name in ("traefik", "traefik-dynamic"))
    (router,) = route["http"]["routers"].values()
    assert set(router["entryPoints"]) <= static["entryPoints"].keys()
    assert router["tls"]["certResolver"] in static["certificatesResolvers"]
    assert set(router["middlewares"]) <= route["http"]["middlewares"].keys()
    (balancer,) = (service["loadBalancer"] for service in route["http"]["services"].values())
    assert balancer["serversTransport"] in route["http"]["serversTransports"]
    assert static["providers"]["file"]["filename"].endswith("/traefik-dynamic.yaml")


def unit() -> dict[str, list[str]]:
    values: dict[str, list[str]] = {}
    for line in UNIT.read_text().splitlines():
        name, is_setting, value = line.partition("=")
        if is_setting and not line.startswith("#"):
            values.setdefault(name, []).append(value)
    return values


def test_the_units_settings_are_accepted_and_it_ends_in_peace() -> None:
    settings = load_settings(dict(line.split("=", 1) for line in unit()["Environment"]))
    public = load_settings({"TRYON_HOST": "0.0.0.0", "TRYON_PUBLIC_URL": "https://photos.example.com"})
    assert settings.data_dir == Path("/var/lib") / unit()["StateDirectory"][0]
    assert int(unit()["TimeoutStopSec"][0]) > public.seconds_to_drain + SHUTDOWN_SECONDS
    assert int(unit()["LimitNOFILE"][0]) >= settings.max_connections + OTHER_FILES
    assert unit()["KillMode"] == ["mixed"]


def test_systemd_understands_the_unit(tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd is not installed here")
    (tmp_path / UNIT.name).write_text(UNIT.read_text().replace("/opt/tryon-images/bin/tryon-images", "/bin/true"))
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", tmp_path / UNIT.name], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout + done.stderr) == (0, "")
