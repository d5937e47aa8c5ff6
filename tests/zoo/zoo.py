"""Real clients against a real server, directly and behind nginx: who hears which refusal.

`python -m tests.zoo.zoo` prints the table, and fails where an answer was not heard.
"""

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import httpx
from dependency_injector import providers
from playwright.sync_api import sync_playwright
from rich.console import Console
from rich.table import Table

from adapters.memory.surroundings import InMemoryObjectStore
from adapters.memory.unit_of_work import InMemoryUnitOfWork
from adapters.system import ProcessRateLimiter
from application.authenticate import DEFAULT_ACCOUNT, Access, Authenticate
from domain.account import microseconds
from domain.errors import Overloaded
from entrypoints.http.app import create_app
from entrypoints.server.logging import configure_structlog
from entrypoints.wiring.container import Container
from entrypoints.wiring.settings import Settings
from tests.builders import MovableClock
from tests.free_port import free_port
from tests.http.conftest import API, a_jpeg, account_with_key, an_in_process_processor
from tests.live_server import answers, serving
from tests.live_shop import npm_ci
from tests.patience import PATIENCE_SECONDS, wait_until

HERE: Final = Path(__file__).parent
MB: Final = 1024 * 1024
CHROMIUM: Final = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
OKHTTP: Final = ("/usr/share/java/okhttp.jar", "/usr/share/java/okio.jar")
"""The network of React Native on Android; Debian's libokhttp-java."""
COMMANDS: Final[dict[str, tuple[str, ...]]] = {
    "fetch": ("node", str(HERE / "client.mjs")),
    "undici": ("node", str(HERE / "client.mjs")),
    "axios": ("node", str(HERE / "client.mjs")),
    "node-fetch": ("node", str(HERE / "client.mjs")),
    "Deno": (str(HERE / "node_modules/.bin/deno"), "run", "--quiet", "--allow-all", str(HERE / "client.mjs")),
    "Bun": (str(HERE / "node_modules/.bin/bun"), str(HERE / "client.mjs")),
    "requests": (sys.executable, str(HERE / "client.py")),
    "httpx": (sys.executable, str(HERE / "client.py")),
    "urllib": (sys.executable, str(HERE / "client.py")),
    "curl": ("sh", str(HERE / "client.sh")),
    "PHP": ("php", str(HERE / "client.php")),
    "Ruby": ("ruby", str(HERE / "client.rb")),
    "Java": ("java", str(HERE / "Client.java")),
    "OkHttp": ("java", "-cp", ":".join(OKHTTP), str(HERE / "Phone.java")),
}
CLIENTS: Final = (*COMMANDS, "Chromium")
OPTIONAL: Final = frozenset({"Deno", "Bun", "PHP", "Ruby", "Java", "OkHttp"})
"""Passed over where they are not installed; CI has to have the others."""
NGINX: Final = {
    "nginx": "",
    "nginx, unbuffered": "proxy_request_buffering off; proxy_buffering off; proxy_http_version 1.1;",
    "nginx, decoding": "",
}
ROUTES: Final = ("direct", *NGINX)
EXPECTED: Final = {
    "wrong-key-4MB": (401, "INVALID_API_KEY"),
    "wrong-key-12MB": (401, "INVALID_API_KEY"),
    "too-large": (413, "FILE_TOO_LARGE"),
    "no-photo": (415, "UNSUPPORTED_IMAGE_FORMAT"),
    "other-part": (400, "FILE_REQUIRED"),
    "damaged": (400, "INVALID_IMAGE"),
    "too-often": (429, "RATE_LIMITED,retry-after"),
    "database-away": (503, "OVERLOADED,retry-after"),
    "photo": (201, "-"),
}
UNLUCKY: Final = "gk_unlucky_key"
Heard = dict[str, tuple[int, str]]


@dataclass(frozen=True)
class Zoo:
    """A server, the ways to it, and what each client is to send."""

    urls: dict[str, str]
    key: str
    plan: Path

    def hear(self, client: str, route: str) -> Heard:
        """What a client hears of each step: status and code; status 0 when it hears nothing."""
        url = f"{self.urls[route]}{API}/images/upload"
        if client == "Chromium":
            return self._in_chromium(route, url)
        command = [*COMMANDS[client], client, url, str(self.plan)]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False)
        except subprocess.TimeoutExpired:
            return {}
        lines = [line.split(" ") for line in done.stdout.splitlines() if line.count(" ") == 2]
        return {name: (int(status), code) for name, status, code in lines} or {"-": (0, done.stderr[-300:])}

    def _in_chromium(self, route: str, url: str) -> Heard:
        script = """async ([url, { name, key, part }]) => {
            const form = new FormData();
            form.append(part, document.querySelector("input").files[0], "photo.jpg");
            try {
                const answer = await fetch(url, { method: "POST", headers: { "x-api-key": key }, body: form });
                const later = answer.headers.has("retry-after") ? ",retry-after" : "";
                return [answer.status, ((await answer.json()).code ?? "-") + later];
            } catch (error) { return [0, String(error.message)]; }
        }"""
        heard = {}
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
            page = browser.new_page()
            page.set_default_timeout(1000 * PATIENCE_SECONDS)
            page.goto(f"{self.urls[route]}/health/live")
            page.evaluate("document.body.append(Object.assign(document.createElement('input'), { type: 'file' }))")
            for step in json.loads(self.plan.read_text()):
                page.set_input_files("input", step["file"])
                status, code = page.evaluate(script, [url, step])
                heard[step["name"]] = (status, code)
            browser.close()
        return heard


def is_there(client: str) -> bool:
    if client == "Chromium":
        return CHROMIUM is not None
    if client == "OkHttp" and not Path(OKHTTP[0]).exists():
        return False
    return shutil.which(COMMANDS[client][0]) is not None


@contextmanager
def open_zoo() -> Iterator[Zoo]:
    """Everything that is needed, for as long as the block lasts."""
    npm_ci(HERE)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        clock = MovableClock()
        container = Container(
            settings=Settings(
                data_dir=folder, public_url="http://photos.test", generations_at_once=0, rate_limit_per_minute=0
            ),
            clock=clock,
            rate_limiter=ProcessRateLimiter(lambda: microseconds(clock.now())),
            objects=InMemoryObjectStore(),
            work=InMemoryUnitOfWork(),
            processor=an_in_process_processor(),
        )
        key = asyncio.run(account_with_key(container, DEFAULT_ACCOUNT))
        hasty = asyncio.run(_hasty_key(container))
        container.authenticate.override(providers.Object(_AwayForSome(container.authenticate())))
        urls = {"direct": stack.enter_context(serving(create_app(container), free_port()))}
        while httpx.get(f"{urls['direct']}{API}/images/x", headers={"x-api-key": hasty}).status_code != 429:
            pass
        if shutil.which("nginx"):
            urls |= stack.enter_context(_nginx(folder, urls["direct"]))
        yield Zoo(urls, key, _plan(folder, key, hasty))


async def _hasty_key(container: Container) -> str:
    """Of an account that may ask once a minute."""
    key = await account_with_key(container, "hasty")
    await container.change_account().execute("hasty", lambda account: replace(account, requests_per_minute=1))
    return key


class _AwayForSome:
    """The database answers for all keys but one."""

    def __init__(self, authenticate: Authenticate) -> None:
        self._authenticate = authenticate

    async def execute(self, key: str) -> Access:
        if key == UNLUCKY:
            raise Overloaded
        return await self._authenticate.execute(key)


def _plan(folder: Path, key: str, hasty: str) -> Path:
    jpeg = a_jpeg()
    contents = {
        "4MB": jpeg + bytes(4 * MB),
        "12MB": jpeg + bytes(12 * MB),
        "text": b"just text\n" * (4 * MB // 10),
        "damaged": jpeg[: len(jpeg) // 2],
        "photo": jpeg,
    }
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    wrong = "gk_a_wrong"
    steps = [
        ("wrong-key-4MB", wrong, "file", "4MB"),
        ("wrong-key-12MB", wrong, "file", "12MB"),
        ("too-large", key, "file", "12MB"),
        ("no-photo", key, "file", "text"),
        ("other-part", key, "image", "4MB"),
        ("damaged", key, "file", "damaged"),
        ("too-often", hasty, "file", "4MB"),
        ("database-away", UNLUCKY, "file", "4MB"),
        ("photo", key, "file", "photo"),
    ]
    lines = [(name, of, part, str(folder / file)) for name, of, part, file in steps]
    plan = folder / "plan.json"
    plan.write_text(json.dumps([dict(zip(("name", "key", "part", "file"), line, strict=True)) for line in lines]))
    (folder / "plan.json.txt").write_text("".join(" ".join(line) + "\n" for line in lines))
    return plan


@contextmanager
def _nginx(folder: Path, upstream: str) -> Iterator[dict[str, str]]:
    ports = {route: free_port() for route in NGINX}
    servers = "\n".join(
        f"""server {{ listen 127.0.0.1:{ports[route]}; client_max_body_size 64m; merge_slashes off;
            location / {{ {extra} proxy_pass {upstream}{"/" if route == "nginx, decoding" else ""}; }} }}"""
        for route, extra in NGINX.items()
    )
    temporary = "\n".join(
        f"{kind}_temp_path {folder}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    conf = folder / "nginx.conf"
    user = "user root;" if os.geteuid() == 0 else ""
    conf.write_text(
        f"{user} daemon off; pid {folder}/nginx.pid; error_log {folder}/nginx.log; worker_processes 1;\n"
        f"events {{ }} http {{ access_log off; {temporary}\n{servers} }}"
    )
    process = subprocess.Popen(["nginx", "-c", str(conf), "-e", str(folder / "nginx.log")], stderr=subprocess.DEVNULL)
    try:
        urls = {route: f"http://127.0.0.1:{port}" for route, port in ports.items()}
        wait_until(lambda: all(map(answers, urls.values())))
        yield urls
    finally:
        os.kill(process.pid, signal.SIGTERM)
        process.wait(PATIENCE_SECONDS)


def main() -> int:
    """Print what every client hears on every way; 1 when an answer was lost, or a client is missing in CI."""
    configure_structlog("error")
    table = Table("client", *ROUTES, title=f"Of {len(EXPECTED)} answers each: how many were heard as they were given")
    with open_zoo() as zoo:
        there = [client for client in CLIENTS if is_there(client)]
        is_complete = os.environ.get("CI") is None or set(CLIENTS) - OPTIONAL <= set(there)
        for client in there:
            cells = [_cell(zoo, client, route) for route in zoo.urls]
            is_complete &= set(cells) == {str(len(EXPECTED))}
            table.add_row(client, *cells)
        is_complete &= os.environ.get("CI") is None or set(zoo.urls) == set(ROUTES)
    Console().print(table, f"Not installed here: {', '.join(set(CLIENTS) - set(there)) or 'none'}")
    return 0 if is_complete else 1


def _cell(zoo: Zoo, client: str, route: str) -> str:
    """How many were heard, and which were not. What is lost on a machine that is overrun is asked for again."""
    for _ in range(3):
        heard = zoo.hear(client, route)
        lost = [f"{name}: {heard.get(name)}" for name, wanted in EXPECTED.items() if heard.get(name) != wanted]
        if not lost:
            break
    return "\n".join([str(len(EXPECTED) - len(lost)), *lost])


if __name__ == "__main__":
    sys.exit(main())
