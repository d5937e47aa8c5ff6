"""A rolling upgrade from an earlier commit under load: both versions side by side on one PostgreSQL and one bucket.

`make rolling-upgrade [FROM=commit]`, by default from the newest tag, or else from the version before there were tags.
Exit code 1 when any request got a 5xx or no answer, but for erasures that an old server is made to put off until a new
one takes them. A checkout without that commit is passed over, with a word.

Two servers of the old version take look-ups and now and then an upload, an erasure and a deletion. Meanwhile the new
version migrates the database; then each old server is replaced by a new one: started, waited for, and the old one told
to stop. The balancer is this program: it asks for readiness twice a second and sends to whoever is ready.
"""

import argparse
import asyncio
import os
import random
import signal
import subprocess
import sys
import sysconfig
import tempfile
import time
import venv
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from tests import photos
from tests.benchmarks.photos import scene
from tests.free_port import free_port
from tests.object_storage.bucket_server import BUCKET, bucket_server
from tests.postgres import running_postgres

NEW = Path(__file__).parents[2]
API = "/tryon/v1"
KEY = "gk_" + "k" * 40
LOOK_EVERY = 0.5
READY_SECONDS = 180
OTHERS = {"STORAGE_EMULATOR_HOST"}
"""Not ours to know."""
PUT_OFF = "erasure put off"
BEFORE_TAGS = "433f4cd"
RUN = "from entrypoints.cli.main import main; main()"


@dataclass
class Server:
    """One replica, and whether the balancer sends to it."""

    name: str
    url: str
    process: "subprocess.Popen[bytes]"
    is_ready: bool = False


@dataclass
class Seen:
    """Statuses and failures by phase, and milliseconds of look-ups."""

    phase: str = "old alone"
    statuses: dict[str, Counter[str]] = field(default_factory=dict)
    took_ms: dict[str, list[float]] = field(default_factory=dict)

    def note(self, status: str, seconds: float) -> None:
        self.statuses.setdefault(self.phase, Counter())[status] += 1
        self.took_ms.setdefault(self.phase, []).append(seconds * 1000)

    def failures(self) -> int:
        """Requests that got a 5xx, or no answer at all."""
        every = (item for statuses in self.statuses.values() for item in statuses.items())
        return sum(count for status, count in every if status != PUT_OFF and not "200" <= status < "500")

    def report(self) -> None:
        for phase, statuses in self.statuses.items():
            took = sorted(self.took_ms[phase])
            p50, p99, longest = (took[int(share * (len(took) - 1))] for share in (0.5, 0.99, 1))
            shown = ", ".join(f"{status} x {count}" for status, count in sorted(statuses.items()))
            print(f"{phase:<24} {shown:<44} p50 {p50:5.0f} ms  p99 {p99:5.0f} ms  max {longest:5.0f} ms")


@dataclass(frozen=True)
class Version:
    """A tree of sources, and a Python that has the packages which its lock file pins."""

    tree: Path
    python: Path


THIS = Version(NEW, Path(sys.executable))


class Cluster:
    """Starts and stops servers, and keeps requests coming."""

    def __init__(self, folder: Path, settings: dict[str, str], client: httpx.AsyncClient) -> None:
        self._folder, self._settings, self._client = folder, settings, client
        self._photo = photos.jpeg(scene(480, 640), quality=85, subsampling=2)
        self.servers: list[Server] = []
        self.seen = Seen()
        self.images: list[str] = []

    def start(self, name: str, version: "Version") -> Server:
        port = free_port()
        environment = self._environment(version, name) | {"TRYON_PORT": str(port)}
        log = (self._folder / f"{name}.log").open("wb")
        process = subprocess.Popen(
            [version.python, "-c", RUN, "serve"],
            cwd=version.tree,
            env=environment,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        self.servers.append(Server(name, f"http://127.0.0.1:{port}", process))
        return self.servers[-1]

    async def migrate(self, version: "Version") -> None:
        command = [str(version.python), "-c", RUN, "db", "upgrade"]
        environment = self._environment(version, "migration")
        running = await asyncio.create_subprocess_exec(*command, cwd=version.tree, env=environment)
        assert await running.wait() == 0

    def _environment(self, version: "Version", name: str) -> dict[str, str]:
        """An earlier version does not know every setting, and refuses what it does not know."""
        sources = "".join(file.read_text() for file in (version.tree / "entrypoints").rglob("*.py"))
        fields = {name: name.removeprefix("TRYON_").lower() for name in self._settings}
        settings = {name: value for name, value in self._settings.items() if fields[name] in sources or name in OTHERS}
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("TRYON_")}
        data = {"TRYON_DATA_DIR": str(self._folder / name), "PYTHONPATH": str(version.tree)}
        return inherited | settings | data

    async def look(self) -> None:
        """The balancer's eyes. Never ends."""
        while True:
            for server in self.servers:
                try:
                    answer = await self._client.get(f"{server.url}/health/ready")
                    server.is_ready = answer.status_code == 200
                except httpx.TransportError:
                    server.is_ready = False
            await asyncio.sleep(LOOK_EVERY)

    async def until_ready(self, server: Server) -> None:
        async with asyncio.timeout(READY_SECONDS):
            while not server.is_ready:  # noqa: ASYNC110 - another process sets no event
                await asyncio.sleep(0.1)

    async def stop(self, server: Server) -> None:
        server.process.send_signal(signal.SIGTERM)
        await asyncio.to_thread(server.process.wait, 60)
        self.servers.remove(server)

    async def press(self, per_second: float) -> None:
        """Never ends: begins a request every so often, whether or not the last one is answered."""
        under_way: set[asyncio.Task[None]] = set()
        while True:
            task = asyncio.create_task(self.ask())
            under_way.add(task)
            task.add_done_callback(under_way.discard)
            await asyncio.sleep(1 / per_second)

    async def ask(self) -> None:
        server = random.choice([each for each in self.servers if each.is_ready] or self.servers)
        started = time.perf_counter()
        try:
            status = told(await self._one(server.url + API), by=server)
        except httpx.TransportError as error:
            status = type(error).__name__
        self.seen.note(status, time.perf_counter() - started)

    async def _one(self, api: str) -> httpx.Response:
        chance = random.random()
        if chance < 0.01 or not self.images:
            customer = {"externalUserId": f"customer-{random.randrange(20)}"}
            answer = await self._client.post(f"{api}/images/upload", files={"file": self._photo}, data=customer)
            if answer.status_code == 201:
                self.images.append(answer.json()["imageId"])
            return answer
        if chance < 0.012:
            return await self._client.delete(f"{api}/images/{self.images.pop(0)}")
        if chance < 0.015:
            return await self._client.delete(f"{api}/customers/customer-{random.randrange(20)}")
        return await self._client.get(f"{api}/images/{random.choice(self.images)}")


def told(answer: httpx.Response, *, by: Server) -> str:
    """The status. The version before cannot find what the new one keeps, so the new schema puts its erasures off."""
    is_erasure = answer.request.method == "DELETE" and "/customers/" in answer.request.url.path
    is_put_off = is_erasure and answer.status_code == 503 and "retry-after" in answer.headers
    return PUT_OFF if is_put_off and by.name.startswith("old") else str(answer.status_code)


async def roll(cluster: Cluster, old: "Version", per_second: float) -> None:
    await cluster.migrate(old)
    balancer = asyncio.create_task(cluster.look())
    old_servers = [cluster.start(f"old-{number}", old) for number in (1, 2)]
    for server in old_servers:
        await cluster.until_ready(server)
    load = asyncio.create_task(cluster.press(per_second))
    await asyncio.sleep(5)
    cluster.seen.phase = "new version migrates"
    started = time.perf_counter()
    await cluster.migrate(THIS)
    print(f"db upgrade took {time.perf_counter() - started:.1f} s, the start of its process included\n")
    cluster.seen.phase = "old, migrated"
    await asyncio.sleep(5)
    for number, server in enumerate(old_servers, 1):
        cluster.seen.phase = f"server {number} is replaced"
        await cluster.until_ready(cluster.start(f"new-{number}", THIS))
        await cluster.stop(server)
    cluster.seen.phase = "new alone"
    await asyncio.sleep(5)
    load.cancel()
    await asyncio.sleep(3)
    balancer.cancel()
    cluster.seen.report()


def tell_bugs(folder: Path) -> None:
    for log in sorted(folder.glob("*.log")):
        if "--logs" in sys.argv:
            print(log.stem, *log.read_text().splitlines()[-4:], sep="\n   ")
        bugs = [line for line in log.read_text().splitlines() if '"unhandled_error"' in line]
        if bugs:
            print(f"{log.stem}: {len(bugs)} bugs, the first: {bugs[0]}")


def previous_version() -> str:
    """The newest tag before this commit, or else the version before there were tags."""
    command = ["git", "describe", "--tags", "--abbrev=0", "HEAD^"]
    tag = subprocess.run(command, cwd=NEW, check=False, capture_output=True, text=True).stdout.strip()
    return tag or BEFORE_TAGS


def is_there(commit: str) -> bool:
    command = ["git", "cat-file", "-e", f"{commit}^{{commit}}"]
    return subprocess.run(command, cwd=NEW, check=False, capture_output=True).returncode == 0


@contextmanager
def checked_out(commit: str) -> Iterator[Version]:
    """With an environment that has, on top of ours, the packages that differ."""
    with tempfile.TemporaryDirectory() as folder:
        tree, environment = Path(folder, "tree"), Path(folder, "environment")
        tree.mkdir()
        archive = subprocess.run(["git", "archive", commit], cwd=NEW, check=True, capture_output=True).stdout
        subprocess.run(["tar", "-x", "-C", tree], input=archive, check=True)
        venv.create(environment, with_pip=True)
        (packages,) = environment.glob("lib/python*/site-packages")
        (packages / "ours.pth").write_text(sysconfig.get_path("purelib"))
        python = environment / "bin" / "python"
        subprocess.run([python, NEW / "deploy" / "install.py", tree / "requirements.lock"], check=True)
        yield Version(tree, python)


async def main() -> int:
    """Returns: the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("commit", nargs="?", default=previous_version())
    parser.add_argument("--per-second", type=float, default=100)
    parser.add_argument("--logs", action="store_true", help="the last lines of each server")
    arguments = parser.parse_args()
    if not is_there(arguments.commit):
        print(f"Passed over: this checkout does not hold {arguments.commit}, the version before (a shallow clone?).")
        return 0
    print(f"From {arguments.commit}, with {arguments.per_second:g} requests a second")
    with ExitStack() as running:
        folder = Path(running.enter_context(tempfile.TemporaryDirectory()))
        database = running.enter_context(running_postgres())
        await database.execute("CREATE DATABASE rolling")
        _, bucket_url = running.enter_context(bucket_server())
        settings = {
            "TRYON_DATABASE_URL": database.url("rolling"),
            "TRYON_STORAGE_URL": f"gs://{BUCKET}",
            "STORAGE_EMULATOR_HOST": bucket_url,
            "TRYON_PREVIEW_LINKS": "service",
            "TRYON_PSEUDONYM_KEY": "one-ring-for-all-replicas-32-bytes-long",
            "TRYON_SIGNING_KEY": "one-key-for-all-replicas-32-bytes-long",
            "TRYON_RATE_LIMIT_PER_MINUTE": "0",
            "TRYON_DEV_API_KEY": KEY,
            "TRYON_WORKERS": "1",
            "TRYON_DRAIN_SECONDS": "5",
        }
        limits = httpx.Limits(max_keepalive_connections=50, keepalive_expiry=5)
        old = running.enter_context(checked_out(arguments.commit))
        async with httpx.AsyncClient(headers={"x-api-key": KEY}, timeout=30, limits=limits) as client:
            cluster = Cluster(folder, settings, client)
            try:
                await roll(cluster, old, arguments.per_second)
            finally:
                for server in cluster.servers:
                    os.killpg(server.process.pid, signal.SIGKILL)  # with its photo workers
                    server.process.wait()
                tell_bugs(folder)
    failures = cluster.seen.failures()
    print(f"{failures} requests failed" if failures else "Not one request failed")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
