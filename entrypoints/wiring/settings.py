"""The one reader of the environment: every setting, what it accepts, and what it means."""

import difflib
import ipaddress
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

PREFIX = "TRYON_"
MASKED = "********"

LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
DRAIN_SECONDS = 5
"""What a load balancer needs to notice; Kubernetes' endpoints take one to three seconds."""

LogLevel = Literal["debug", "info", "warning", "error"]
LOOKS_LIKE = 0.65
"""How much alike names must be (difflib's ratio) to suggest one: DB_URL means DATABASE_URL, REDIS_URL no ENGINE_URL."""

Positive = Annotated[int, Meta(ge=1)]
Count = Annotated[int, Meta(ge=0)]


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`TRYON_HOST` fills `host`, and so on. Comments say what each means; README shows them as a table."""

    # Where to listen, and how clients reach us from outside.
    host: str = "127.0.0.1"
    port: Annotated[int, Meta(ge=1, le=65535)] = 8000
    public_url: Annotated[str, Meta(pattern=r"^https?://[^\s?#]+$")] | None = None
    server_processes: Positive = 1
    playground: bool | None = None  # a page at / to try the service on; on by itself only where no stranger gets to

    # Where rows and objects are kept.
    data_dir: Path = Path("data")
    database_url: Annotated[str, Meta(pattern=r"^(sqlite\+aiosqlite:///|postgresql\+asyncpg://)")] | None = None
    database_pool_size: Positive = 5  # connections of each server process; PostgreSQL only, like the next
    database_statement_seconds: Positive = 10
    storage_url: Annotated[str, Meta(pattern=r"^(file:///.|gs://[a-z0-9][a-z0-9._-]+[a-z0-9](/|$))")] | None = None
    backup_retention_days: Count = 30

    # Keys. A signing key that is not set is generated and kept in the data folder.
    signing_key: Annotated[str, Meta(min_length=32)] | None = None
    dev_api_key: Annotated[str, Meta(min_length=3)] | None = None

    # What is accepted and what is kept.
    max_file_bytes: Positive = 10 * 1024 * 1024
    max_pixels: Positive = 64_000_000
    max_edge: Annotated[int, Meta(ge=64, le=8192)] = 2000
    url_ttl_seconds: Positive = 15 * 60
    preview_links: Literal["storage", "service"] | None = None  # who serves them; a bucket, if there is one
    purge_interval_seconds: Positive = 60
    rate_limit_per_minute: Count = 100  # of one account; 0: no limit

    # Work on photos.
    model_dir: Path = Path("~/.cache/tryon-images/models")
    workers: Positive | None = None
    photo_timeout_seconds: Positive = 10
    max_uploads: Positive = 32
    upload_min_bytes_per_second: Positive = 4096  # in the mean of 15 s; slower bodies are REQUEST_TIMEOUT
    allow_unsandboxed: bool = False

    # Try-on: who renders, and what it needs.
    engine: Literal["sandbox", "vertex", "http"] = "sandbox"
    engine_url: Annotated[str, Meta(pattern=r"^https?://[^\s?#]+$")] | None = None
    engine_timeout_seconds: Positive = 120
    vertex_project: Annotated[str, Meta(min_length=1)] | None = None
    vertex_region: Annotated[str, Meta(pattern="^[a-z0-9-]+$")] = "us-central1"
    vertex_model: Annotated[str, Meta(pattern="^[a-z0-9@._-]+$")] = "virtual-try-on-001"
    generations_at_once: Annotated[int, Meta(ge=0, le=64)] = (
        2  # in each server process; 0 leaves them to `tryon-images worker`
    )
    result_url_ttl_seconds: Positive = 24 * 60 * 60
    fetch_timeout_seconds: Positive = 10
    fetch_http: bool = False
    # How the server is watched and stopped.
    log_level: LogLevel = "info"
    metrics_port: Annotated[int, Meta(ge=1, le=65535)] | None = None
    metrics_host: str = "127.0.0.1"
    header_timeout_seconds: Positive = 30
    drain_seconds: Count | None = None

    @property
    def is_local(self) -> bool:
        """Only this machine can reach it, and nothing says that somebody stands in front of it."""
        return _is_loopback(self.host) and self.public_url is None

    @property
    def serves_alone(self) -> bool:
        """One process with a database of its own."""
        return self.server_processes == 1 and self.resolved_database_url.startswith("sqlite")

    @property
    def serves_metrics(self) -> bool:
        """On the main port: at home only. Elsewhere everybody could read them; there they have a port of their own."""
        return self.is_local and self.metrics_port is None

    @property
    def seconds_to_drain(self) -> int:
        """How long requests are still taken after SIGTERM, while readiness already says no."""
        if self.drain_seconds is not None:
            return self.drain_seconds
        return 0 if self.is_local else DRAIN_SECONDS

    @property
    def base_url(self) -> str:
        """The public URL without a slash at its end."""
        return (self.public_url or f"http://{self.host}:{self.port}").rstrip("/")

    def share(self, number: int) -> int:
        """What one server process gets of something that all of them share; at least one."""
        return -(-number // self.server_processes)

    @property
    def shows_playground(self) -> bool:
        """As the setting says; without it, only when nobody but this machine can reach us."""
        return self.is_local if self.playground is None else self.playground

    @property
    def resolved_database_url(self) -> str:
        return self.database_url or f"sqlite+aiosqlite:///{self.data_dir.absolute() / 'tryon.db'}"

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


SECRETS = frozenset({"signing_key", "dev_api_key", "database_url"})


class ConfigurationError(Exception):
    """Everything that is wrong with the environment, one line each; every line names a variable and the fix."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


def load_settings(environ: Mapping[str, str]) -> Settings:
    """Raises: ConfigurationError that lists all problems at once. An empty variable counts as not set."""
    fields = {PREFIX + field.name.upper(): field for field in msgspec.structs.fields(Settings)}
    given = {name: text for name, text in environ.items() if name.startswith(PREFIX) and text.strip()}
    values: dict[str, Any] = {}
    problems = []
    for name, text in sorted(given.items()):
        field = fields.get(name)
        if field is None:
            problems.append(f"{name} is not a setting{_did_you_mean(name, fields)}.")
            continue
        try:
            values[field.name] = _parse(text.strip(), field.type)
        except (msgspec.ValidationError, ValueError) as error:
            shown = "" if field.name in SECRETS else f" (got {text!r})"
            problems.append(f"{name}: {_in_words(str(error))}{shown}.")
    if problems:
        raise ConfigurationError(problems)
    settings = Settings(**values)
    if contradictions := list(_contradictions(settings)):
        raise ConfigurationError(contradictions)
    return settings


def _contradictions(settings: Settings) -> Iterator[str]:
    if settings.keeps_files and settings.preview_links == "storage":
        yield "TRYON_PREVIEW_LINKS: a folder cannot serve links; leave it out, or set TRYON_STORAGE_URL=gs://…."
    if not settings.keeps_files and settings.serves_previews and settings.signing_key is None:
        yield "TRYON_SIGNING_KEY is needed with TRYON_PREVIEW_LINKS=service: all replicas have to share it."
    if settings.engine == "http" and settings.engine_url is None:
        yield "TRYON_ENGINE_URL is needed with TRYON_ENGINE=http: where the model answers."
    if settings.engine == "vertex" and settings.vertex_project is None:
        yield "TRYON_VERTEX_PROJECT is needed with TRYON_ENGINE=vertex: the Google Cloud project that is billed."


def masked(settings: Settings) -> dict[str, str]:
    """All settings as text, by variable name, with secrets masked."""
    return {
        PREFIX + name.upper(): MASKED if name in SECRETS and value is not None else "" if value is None else str(value)
        for name, value in msgspec.structs.asdict(settings).items()
    }


def _parse(text: str, wanted: Any) -> Any:
    if wanted is Path:
        return Path(text).expanduser()
    if wanted in {bool, bool | None}:
        if text.lower() not in {"0", "1", "true", "false", "on", "off", "yes", "no"}:
            raise ValueError("Expected 1 or 0, true or false, on or off")
        return text.lower() in {"1", "true", "on", "yes"}
    if not text.lstrip("+-").isdigit() and "int" in str(wanted):
        raise ValueError("Expected a whole number")
    return msgspec.convert(text, wanted, strict=False)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _in_words(problem: str) -> str:
    if "matching regex" not in problem:
        return problem
    accepted = {
        "^https?": "expected a URL like https://photos.example.com",
        "^(sqlite": "expected sqlite+aiosqlite:///path or postgresql+asyncpg://user:password@host/database",
        "^(file": "expected file:///absolute/folder or gs://bucket/prefix",
    }
    return next((words for start, words in accepted.items() if start in problem), problem)


def _did_you_mean(name: str, known: Mapping[str, object]) -> str:
    bare = [setting.removeprefix(PREFIX) for setting in known]  # the prefix alone would make all of them look alike
    close = difflib.get_close_matches(name.removeprefix(PREFIX), bare, n=1, cutoff=LOOKS_LIKE)
    return f"; did you mean {PREFIX}{close[0]}?" if close else "; see the table in README"
