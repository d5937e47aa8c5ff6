"""Every setting: what it takes, and what it means."""

import ipaddress
import re
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Final, Literal
from urllib.parse import unquote

import msgspec
from msgspec import Meta

from application.authenticate import Ticket
from application.fair_shares import LONGEST_WAIT_SECONDS

DRAIN_SECONDS: Final = 5
"""What a load balancer needs to notice; Kubernetes' endpoints take one to three seconds."""
HEAD_SECONDS: Final = 5
HEAD_SECONDS_BEHIND_A_PROXY: Final = 30
"""Longer than those in deploy/proxies/ keep idle connections."""
WEEK: Final = 7 * 24 * 60 * 60
"""In seconds. Nothing is kept for longer, and no bucket signs links for longer."""

API_PATH: Final = "/tryon/v1"
UPLOAD_PATH: Final = f"{API_PATH}/images/upload"
PREVIEWS_PATH: Final = f"{API_PATH}/previews"
SQLITE: Final = "sqlite+aiosqlite:///"
FRAMING_BYTES: Final = 256 * 1024
"""What a whole request may be larger than its files: boundaries, part headers and the other fields."""
MAX_FILES_AT_ONCE: Final = 3
"""A form of a try-on holds as many bytes as three of the largest files, however many parts they come in: a person and
two views of a garment in full size, or nine files as shops have them."""
MIN_KEY_CHARS: Final = 32
UNBOUNDED: Final = 10**9
"""More than anybody wants, and no trouble for a clock or a database."""

LogLevel = Literal["debug", "info", "warning", "error"]
Positive = Annotated[int, Meta(ge=1, le=UNBOUNDED)]
Processes = Annotated[int, Meta(ge=1, le=1024)]
Count = Annotated[int, Meta(ge=0, le=UNBOUNDED)]
Seconds = Annotated[int, Meta(ge=1, le=WEEK)]
Port = Annotated[int, Meta(ge=1, le=65535)]
Text = Annotated[str, Meta(min_length=1)]
Host = Annotated[str, Meta(extra={"takes": "an IP address without a zone, or localhost"})]
WebUrl = Annotated[str, Meta(pattern=r"^https?://[^\s?#]+$", extra={"takes": "a URL like https://photos.example.com"})]
DatabaseUrl = Annotated[
    str,
    Meta(
        pattern=r"^(sqlite\+aiosqlite:///(?!:memory:)[^?]|postgresql\+asyncpg://)",
        extra={"takes": "sqlite+aiosqlite:///path or postgresql+asyncpg://user:password@host/database"},
    ),
]
StorageUrl = Annotated[
    str,
    Meta(
        pattern=r"^(file:///.|gs://[a-z0-9][a-z0-9._-]+[a-z0-9](/|$))",
        extra={"takes": "file:///absolute/folder or gs://bucket/prefix"},
    ),
]
Keys = Annotated[
    str, Meta(min_length=MIN_KEY_CHARS, extra={"takes": "keys of at least 32 characters, separated by commas"})
]
GoogleName = Annotated[str, Meta(pattern="^[a-z0-9@._-]+$", extra={"takes": "a name of Google's, in small letters"})]


def says(text: str) -> Meta:
    """What a setting means, for docs/settings.md."""
    return Meta(description=text)


def is_loopback(host: str) -> bool:
    """Whether nobody but this machine gets there."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`TRYON_HOST` fills `host`, and so on. docs/settings.md is made from this."""

    host: Annotated[Host, says("Where to listen. `0.0.0.0` or `::` is everywhere.")] = "127.0.0.1"
    port: Annotated[Port, says("Where to listen.")] = 8000
    public_url: Annotated[WebUrl | None, says("How clients reach the service; links begin with it.")] = None
    trusted_proxy: Annotated[
        Annotated[str, Meta(extra={"takes": "addresses or networks like 10.0.0.0/8, separated by commas"})] | None,
        says("Who may say when a request began (`X-Request-Start`), so that an erasure stops it: docs/erasure.md."),
    ] = None
    server_processes: Annotated[Processes, says("HTTP server processes. They share photo workers and limits.")] = 1
    playground: Annotated[
        bool | None, says("The page at `/`. Not set: on where only this machine can reach the service.")
    ] = None

    data_dir: Annotated[Path, says("Folder of the embedded database, the objects and the keys.")] = Path("data")
    database_url: Annotated[
        DatabaseUrl | None, says("Not set: SQLite in the data folder. PostgreSQL also counts rates for all replicas.")
    ] = None
    database_pool_size: Annotated[Positive, says("Connections of each server process to PostgreSQL.")] = 5
    database_statement_seconds: Annotated[Seconds, says("The longest statement, and wait for a connection.")] = 10
    storage_url: Annotated[StorageUrl | None, says("Not set: `objects` in the data folder.")] = None
    disk_reserve_mb: Annotated[
        Count,
        says("Kept free where files or the embedded database are: below it uploads are refused, so that erasures fit."),
    ] = 512
    backup_retention_days: Annotated[
        Count, says("Ids of erased images are kept this long, so that an erasure can be replayed after a restore.")
    ] = 30

    signing_key: Annotated[
        Keys | None,
        says(
            "Signs links that the service serves: the first key signs, all are accepted. Not set: made on the first"
            " start, in the data folder."
        ),
    ] = None
    pseudonym_key: Annotated[
        Keys | None,
        says(
            "Keys the digests that stand for customers' ids and idempotency keys: the first writes, all find."
            " Needed with PostgreSQL; else made on the first start, in the data folder. See docs/erasure.md."
        ),
    ] = None
    dev_api_key: Annotated[
        Annotated[str, Meta(min_length=3)] | None,
        says("A key that opens the default account, for demos and tests; 32 characters unless on loopback."),
    ] = None

    max_file_bytes: Annotated[Positive, says("The largest file.")] = 10 * 1024 * 1024
    max_pixels: Annotated[Positive, says("The most pixels of a photo; decided before decoding.")] = 64_000_000
    max_edge: Annotated[int, Meta(ge=64, le=8192), says("The longest edge of a stored picture, in pixels.")] = 2000
    cors_origins: Annotated[
        str,
        says("Origins of pages that may upload with tickets, with commas; `*`: any, a ticket is enough."),
    ] = "*"
    url_ttl_seconds: Annotated[Seconds, says("Life of a link to an image.")] = 15 * 60
    preview_links: Annotated[
        Literal["storage", "service"] | None,
        says("Who serves links to objects in a bucket: `storage` by V4 signed URLs (if not set), or `service`."),
    ] = None
    purge_interval_seconds: Annotated[Seconds, says("How often the server purges by itself.")] = 60
    rate_limit_per_minute: Annotated[
        Count, says("Requests of one account; 0: no limit. `accounts set-limits` changes it for one account.")
    ] = 100

    model_dir: Annotated[Path, says("Folder of the neural networks.")] = Path("~/.cache/tryon-images/models")
    workers: Annotated[
        Processes | None, says("Photo worker processes. Not set: one for each usable core, if memory allows.")
    ] = None
    photo_timeout_seconds: Annotated[Seconds, says("CPU time of a photo; by the clock up to three times that.")] = 10
    upload_memory_mb: Annotated[
        Positive | None,
        says("Memory for bodies on their way (docs/limits.md). Not set: a quarter of the memory limit, 640 at most."),
    ] = None
    upload_min_bytes_per_second: Annotated[
        Positive, says("In the mean of 15 s; a body that comes slower is answered `REQUEST_TIMEOUT`.")
    ] = 4096
    allow_unsandboxed: Annotated[
        bool, says("Start even where the kernel cannot keep photo workers off the network. Only for your own photos.")
    ] = False

    engine: Annotated[
        Literal["sandbox", "vertex", "http"],
        says("Who renders try-ons: a card without a model, Google's model, or yours. See docs/engines.md."),
    ] = "sandbox"
    engine_url: Annotated[
        WebUrl | None, says("Where the model answers (`http`): https, unless it is on this machine.")
    ] = None
    engine_token: Annotated[Text | None, says("Sent to `TRYON_ENGINE_URL` as a bearer token.")] = None
    engine_timeout_seconds: Annotated[Seconds, says("One attempt of an engine.")] = 120
    vertex_project: Annotated[Text | None, says("The Google Cloud project that is billed (`vertex`).")] = None
    vertex_region: Annotated[GoogleName, says("The region of the model (`vertex`), or `global`.")] = "us-central1"
    vertex_model: Annotated[GoogleName, says("The model (`vertex`).")] = "virtual-try-on-001"
    generations_at_once: Annotated[
        int, Meta(ge=0, le=64), says("In each server process; 0 leaves them to `tryon-images worker`.")
    ] = 2
    max_waiting_try_ons: Annotated[
        Positive, says("Of one account; one more is answered `RATE_LIMITED` until some are over.")
    ] = 50
    result_url_ttl_seconds: Annotated[Seconds, says("Life of a link to a result.")] = 24 * 60 * 60
    fetch_timeout_seconds: Annotated[Seconds, says("For all URLs of one request together.")] = 10
    fetch_http: Annotated[bool, says("Fetch http:// URLs too.")] = False

    log_level: Annotated[LogLevel, says("Lines go to standard error, as JSON unless that is a terminal.")] = "info"
    metrics_port: Annotated[
        Port | None, says("A port for `/metrics`. Not set: on the main port where no stranger gets to it, else off.")
    ] = None
    metrics_host: Annotated[Host, says("Address for that port.")] = "127.0.0.1"
    metrics_by_account: Annotated[bool, says("Label requests with the ids of accounts. Off: `account` is `all`.")] = (
        False
    )
    header_timeout_seconds: Annotated[
        Seconds | None,
        says(
            "To receive a request's headers; also how long an idle connection is kept. Not set: 5, and 30 with"
            " `TRYON_PUBLIC_URL`, where a proxy stands in front."
        ),
    ] = None
    max_connections: Annotated[
        Annotated[int, Meta(ge=16, le=60_000)], says("Open at once; more wait in the kernel. Silent ones count too.")
    ] = 8192
    drain_seconds: Annotated[
        Count | None,
        says("How long requests are still taken after SIGTERM while readiness says no. Not set: 5, on loopback 0."),
    ] = None

    @property
    def trusted_networks(self) -> tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]:
        """Raises: ValueError."""
        return tuple(ipaddress.ip_network(text) for text in re.split(r"[,\s]+", self.trusted_proxy or "") if text)

    @property
    def is_local(self) -> bool:
        """Only this machine can reach it, and nothing says that somebody stands in front of it."""
        return is_loopback(self.host) and self.public_url is None

    @property
    def database_file(self) -> Path | None:
        """Of SQLite; PostgreSQL's files are its server's."""
        url = self.resolved_database_url
        return Path(unquote(url.removeprefix(SQLITE).partition("?")[0])).absolute() if url.startswith(SQLITE) else None

    @property
    def has_own_database(self) -> bool:
        """SQLite, in a file of ours."""
        return self.database_file is not None

    @property
    def serves_alone(self) -> bool:
        """One process with a database of its own."""
        return self.server_processes == 1 and self.has_own_database

    @property
    def serves_metrics(self) -> bool:
        """On the main port: at home only. Elsewhere everybody could read them; there they have a port of their own."""
        return self.is_local and self.metrics_port is None

    @property
    def clock_reference(self) -> Path | None:
        """Where it is kept what the wall clock said; PostgreSQL has a clock of its own."""
        return self.data_dir / "clock.json" if self.has_own_database else None

    @property
    def longest_upload(self) -> timedelta:
        """From its ticket, or the look at its key, to its row: as long as a tombstone stands.

        Three files at the lowest rate; a person and eight garments that each wait for a turn and are tried twice; ten
        minutes for memory, storage and the database.
        """
        receiving = MAX_FILES_AT_ONCE * self.max_file_bytes / self.upload_min_bytes_per_second
        photos = 9 * (LONGEST_WAIT_SECONDS + 3 * self.photo_timeout_seconds)
        return Ticket.LONGEST + timedelta(minutes=10, seconds=receiving + self.fetch_timeout_seconds + photos)

    @property
    def largest_upload_bytes(self) -> int:
        """Of the whole request."""
        return self.max_file_bytes + FRAMING_BYTES

    @property
    def largest_try_on_bytes(self) -> int:
        """Of the whole request, which may register a product as well."""
        return MAX_FILES_AT_ONCE * self.max_file_bytes + FRAMING_BYTES

    @property
    def seconds_to_drain(self) -> int:
        """How long requests are still taken after SIGTERM, while readiness already says no."""
        if self.drain_seconds is not None:
            return self.drain_seconds
        return 0 if self.is_local else DRAIN_SECONDS

    @property
    def head_seconds(self) -> int:
        """The HTTP library has one limit for headers and for idle connections: strangers need a short one, a proxy that
        keeps connections a long one, and where there is a proxy it is the one to meet strangers.
        """
        if self.header_timeout_seconds is not None:
            return self.header_timeout_seconds
        return HEAD_SECONDS if self.public_url is None else HEAD_SECONDS_BEHIND_A_PROXY

    @property
    def base_url(self) -> str:
        """The public URL without a slash at its end."""
        return (self.public_url or f"http://{_in_url(self.host)}:{self.port}").rstrip("/")

    @property
    def own_url(self) -> str:
        """How this machine itself reaches the service."""
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.host, self.host)  # noqa: S104 - compared, not listened on
        return f"http://{_in_url(host)}:{self.port}"

    def share(self, number: int) -> int:
        """What one server process gets of something that all of them share; at least one."""
        return -(-number // self.server_processes)

    @property
    def shows_playground(self) -> bool:
        """As the setting says; without it, only when nobody but this machine can reach us."""
        return self.is_local if self.playground is None else self.playground

    @property
    def resolved_database_url(self) -> str:
        return self.database_url or f"{SQLITE}{in_url_path(self.data_dir.absolute())}/tryon.db"

    @property
    def keeps_files(self) -> bool:
        """Whether objects are kept in a local folder."""
        return self.storage_url is None or self.storage_url.startswith("file://")

    @property
    def serves_previews(self) -> bool:
        """Whether preview links lead to a route of ours, and so have to be signed with a key of ours."""
        return self.keeps_files or self.preview_links == "service"

    @property
    def storage_folder(self) -> Path:
        """The folder that a `file:///…` URL names."""
        return Path(self.storage_url.removeprefix("file://")) if self.storage_url else self.data_dir / "objects"


SECRETS: Final = frozenset({"signing_key", "pseudonym_key", "dev_api_key", "database_url", "engine_token"})
"""Never shown, and each may be the content of a file: `TRYON_SIGNING_KEY_FILE` and so on."""
SECTIONS: Final = {
    "host": "Listening",
    "data_dir": "Database and storage",
    "signing_key": "Keys",
    "max_file_bytes": "What is accepted and kept",
    "model_dir": "Work on photos",
    "engine": "Try-on",
    "log_level": "Watching and stopping",
}
"""By the first setting of each, in the order in which `Settings` has them."""


def _in_url(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def in_url_path(path: Path) -> str:
    """Where `%` and `?` would mean something else."""
    return str(path).replace("%", "%25").replace("?", "%3F")
