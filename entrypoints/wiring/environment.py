"""Settings out of the environment: all that is wrong is told at once, with what it holds and what it takes."""

import difflib
import importlib.util
import ipaddress
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, cast
from urllib.parse import urlsplit

import msgspec
from msgspec import inspect

from entrypoints.wiring.settings import MIN_KEY_CHARS, SECRETS, Settings, is_loopback

PREFIX: Final = "TRYON_"
FROM_FILE: Final = "_FILE"
SECRET_FILES: Final = frozenset(f"{PREFIX}{secret.upper()}{FROM_FILE}" for secret in SECRETS)
OF_CLIENTS: Final = frozenset({"TRYON_URL", "TRYON_KEY", "TRYON_API_KEY"})
"""What guides and samples call the base URL and the key in a client's environment; the service may be started in it."""
MASKED: Final = "********"
MAX_SECRET_CHARS: Final = 64 * 1024
LOOKS_LIKE: Final = 0.65
"""How much alike names must be (difflib's ratio) to suggest one: DB_URL means DATABASE_URL, REDIS_URL no ENGINE_URL."""
FIELDS: Final = {PREFIX + field.name.upper(): field for field in msgspec.structs.fields(Settings)}
KINDS: Final = {
    PREFIX + field.name.upper(): field.type for field in cast(inspect.StructType, inspect.type_info(Settings)).fields
}
BOOLEANS: Final = dict.fromkeys(("1", "true", "on", "yes"), True) | dict.fromkeys(("0", "false", "off", "no"), False)
TRACES_GO_TO: Final = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
_SERVICE_LINK: Final = re.compile(
    r"TRYON(_[A-Z0-9_]+)?_(SERVICE_HOST|SERVICE_PORT(_[A-Z0-9_]+)?|PORT(_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?)"
)
_SERVICE_ADDRESS: Final = re.compile(r"(?:(?:tcp|udp|sctp)://)?[0-9a-fA-F.:\[\]]+|tcp|udp|sctp")


@dataclass(frozen=True, slots=True)
class Problem:
    """A variable that is wrong, what it holds (secrets do not show), and what it takes."""

    variable: str
    holds: str
    takes: str


class ConfigurationError(Exception):
    """Everything that is wrong with the environment, as one table."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        rows = [("variable", "holds", "takes"), *((it.variable, it.holds, it.takes) for it in problems)]
        first, second = (max(len(row[column]) for row in rows) for column in (0, 1))
        super().__init__("\n".join(f"{name:<{first}}  {holds:<{second}}  {takes}" for name, holds, takes in rows))
        self.problems = tuple(problems)


def load_settings(environ: Mapping[str, str]) -> Settings:
    """Raises: ConfigurationError that lists all problems at once. An empty variable counts as not set."""
    given, problems = given_texts(environ)
    values: dict[str, Any] = {}
    for name, text in given.items():
        field = FIELDS.get(name)
        if field is None:
            problems.append(Problem(name, shown(name, text), f"nothing: it is no setting{_did_you_mean(name)}"))
            continue
        try:
            values[field.name] = _parse(name, text)
        except (msgspec.ValidationError, ValueError, KeyError):
            problems.append(Problem(name, shown(name, text), takes(name)))
    wrong = {problem.variable for problem in problems}
    settings = Settings(**values)
    problems += [problem for problem in _contradictions(settings) if problem.variable not in wrong]
    if problems:
        raise ConfigurationError(sorted(problems, key=lambda problem: problem.variable))
    return settings


def given_texts(environ: Mapping[str, str]) -> tuple[dict[str, str], list[Problem]]:
    """The settings that are given, as texts by variable; those out of files included."""
    given = {
        name: text.strip()
        for name, text in environ.items()
        if name.startswith(PREFIX) and text.strip() and name not in OF_CLIENTS and not is_service_link(name, text)
    }
    problems = []
    for name in SECRET_FILES:
        path, variable = given.pop(name, None), name.removesuffix(FROM_FILE)
        if path is None:
            continue
        if variable in given:
            problems.append(Problem(name, path, f"nothing while {variable} is set: one of them has to go"))
            continue
        try:
            given[variable] = _secret_in(Path(path).expanduser())
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            problems.append(Problem(name, path, f"a readable text file that holds the secret ({reason})"))
    return given, problems


def _secret_in(path: Path) -> str:
    with path.open("rb") as file:
        text = file.read(MAX_SECRET_CHARS + 1).decode().strip()
    if not 0 < len(text) <= MAX_SECRET_CHARS:
        raise ValueError("it is empty or too large")
    return text


def is_service_link(name: str, text: str) -> bool:
    """Whether Kubernetes has put the variable there because a Service is called `tryon` or `tryon-…`."""
    return bool(_SERVICE_LINK.fullmatch(name) and _SERVICE_ADDRESS.fullmatch(text.strip())) and (
        name not in FIELDS or "://" in text
    )


def takes(variable: str) -> str:
    """What a setting takes, in words."""
    for kind in _layers(KINDS[variable]):
        if isinstance(kind, inspect.Metadata) and kind.extra:
            return str(kind.extra["takes"])
    return _in_words(_bare(KINDS[variable]))


def meaning(variable: str) -> str:
    """What a setting is for."""
    kind = KINDS[variable]
    schema = kind.extra_json_schema if isinstance(kind, inspect.Metadata) else None
    return str((schema or {}).get("description", ""))


def shown(variable: str, text: str) -> str:
    """A value as an operator may see it: no secret, also under a name that was meant for one; no password of a URL."""
    is_secret = variable not in FIELDS or FIELDS[variable].name in SECRETS
    if is_secret and "://" not in text:
        return f"{MASKED} ({len(text)} characters)"
    hidden = re.sub(r"(?<=://).*@", f"{MASKED}@", text)
    hidden = re.sub(r"(?i)(pass\w*|secret|token|key)=[^&]*", rf"\1={MASKED}", hidden)
    return hidden if hidden.isprintable() else repr(hidden)


def _contradictions(settings: Settings) -> Iterator[Problem]:
    if settings.keeps_files and settings.preview_links == "storage":
        yield Problem("TRYON_PREVIEW_LINKS", "storage", "service, unless TRYON_STORAGE_URL is a bucket")
    if not settings.keeps_files and settings.serves_previews and settings.signing_key is None:
        yield _missing("TRYON_SIGNING_KEY", "TRYON_PREVIEW_LINKS=service: all replicas have to share it")
    if settings.database_url and settings.database_url.startswith("postgresql") and settings.pseudonym_key is None:
        yield _missing("TRYON_PSEUDONYM_KEY", "PostgreSQL: all replicas have to share it, and no backup may hold it")
    if settings.engine == "http" and settings.engine_url is None:
        yield _missing("TRYON_ENGINE_URL", "TRYON_ENGINE=http")
    if settings.engine == "vertex" and settings.vertex_project is None:
        yield _missing("TRYON_VERTEX_PROJECT", "TRYON_ENGINE=vertex")
    if settings.engine_url and _is_open_to_listeners(settings.engine_url):
        held = shown("TRYON_ENGINE_URL", settings.engine_url)
        yield Problem("TRYON_ENGINE_URL", held, "https, unless the engine is on this machine: photos travel to it")
    if settings.dev_api_key and len(settings.dev_api_key) < MIN_KEY_CHARS and not is_loopback(settings.host):
        held = shown("TRYON_DEV_API_KEY", settings.dev_api_key)
        yield Problem("TRYON_DEV_API_KEY", held, f"at least {MIN_KEY_CHARS} characters, unless TRYON_HOST is loopback")


def _missing(variable: str, because: str) -> Problem:
    return Problem(variable, "", f"{takes(variable)}; needed with {because}")


def _is_open_to_listeners(url: str) -> bool:
    parts = urlsplit(url)
    return parts.scheme == "http" and not is_loopback(parts.hostname or "")


def _parse(variable: str, text: str) -> Any:
    field = FIELDS[variable]
    match _bare(KINDS[variable]):
        case inspect.BoolType():
            return BOOLEANS[text.lower()]
        case inspect.IntType():
            return msgspec.convert(int(text), field.type)
        case inspect.CustomType():
            return Path(text).expanduser()
        case _:
            return msgspec.convert(CHECKS.get(field.name, str)(text), field.type)


def _host(text: str) -> str:
    """Raises: ValueError: it is none; with a zone the HTTP server cannot listen on it."""
    host = text.removeprefix("[").removesuffix("]")
    if "%" in host:
        raise ValueError
    return "127.0.0.1" if host == "localhost" else str(ipaddress.ip_address(host))


def _url(text: str) -> str:
    """Raises: ValueError: an address or a port that is none, or no host."""
    parts = urlsplit(text)
    if not parts.hostname or parts.port == 0:
        raise ValueError
    return text


def keys_in(text: str) -> tuple[bytes, ...]:
    """A ring of keys, as it is written in a setting or a file: separated by commas or white space."""
    return tuple(key.encode() for key in re.split(r"[,\s]+", text) if key)


def _ring(text: str) -> str:
    if min(map(len, keys_in(text)), default=0) < MIN_KEY_CHARS:
        raise ValueError
    return text


def _networks(text: str) -> str:
    """Raises: ValueError."""
    Settings(trusted_proxy=text).trusted_networks  # noqa: B018 - it raises
    return text


CHECKS: Final[Mapping[str, Callable[[str], str]]] = {
    "host": _host,
    "metrics_host": _host,
    "public_url": _url,
    "engine_url": _url,
    "signing_key": _ring,
    "pseudonym_key": _ring,
    "trusted_proxy": _networks,
}
"""Of texts that a pattern cannot tell from wrong ones."""


def _bare(kind: inspect.Type) -> inspect.Type:
    """Without what is said about it, and without `None`."""
    *_, innermost = _layers(kind)
    return innermost


def _layers(kind: inspect.Type) -> Iterator[inspect.Type]:
    yield kind
    if isinstance(kind, inspect.Metadata):
        yield from _layers(kind.type)
    elif isinstance(kind, inspect.UnionType):
        yield from _layers(kind.types[0])


def _in_words(kind: inspect.Type) -> str:
    match kind:
        case inspect.BoolType():
            return "on or off"
        case inspect.LiteralType(values=values):
            return " or ".join([", ".join(map(str, values[:-1])), str(values[-1])])
        case inspect.IntType(ge=lowest, le=highest):
            return f"a whole number from {lowest:,} to {highest:,}"
        case inspect.StrType(min_length=fewest):
            return f"at least {fewest} characters" if fewest and fewest > 1 else "a text"
        case _:
            return "a path"


def _did_you_mean(name: str) -> str:
    bare = [setting.removeprefix(PREFIX) for setting in FIELDS]  # the prefix alone would make all of them look alike
    close = difflib.get_close_matches(name.removeprefix(PREFIX), bare, n=1, cutoff=LOOKS_LIKE)
    return f"; did you mean {PREFIX}{close[0]}?" if close else "; docs/settings.md has all of them"


def are_traces_wanted(environ: Mapping[str, str]) -> bool:
    """An endpoint for spans is named, or the exporter is, and nobody switched it off.

    Raises: ConfigurationError when traces are wanted and cannot be had.
    """
    is_off = environ.get("OTEL_SDK_DISABLED", "").lower() == "true" or environ.get("OTEL_TRACES_EXPORTER") == "none"
    is_on = environ.get("OTEL_TRACES_EXPORTER") == "otlp" or any(map(environ.get, TRACES_GO_TO))
    if is_off or not is_on:
        return False
    if importlib.util.find_spec("opentelemetry.sdk") is None:
        advice = "nothing before OpenTelemetry is installed: pip install 'tryon-images[otel]'"
        raise ConfigurationError([Problem("OTEL_*", "an endpoint for traces", advice)])
    return True
