"""Settings out of the environment: what is wrong is told at once, and nothing secret is told at all."""

import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from adapters.sandbox.remote_photo import PhotoLimits
from application.authenticate import Ticket
from application.fair_shares import LONGEST_WAIT_SECONDS as BODY_MEMORY_SECONDS
from application.fair_shares import LONGEST_WAIT_SECONDS as FAIR_TURN_SECONDS
from entrypoints.cli.main import main
from entrypoints.http.try_on_request import MAX_GARMENTS
from entrypoints.wiring.environment import FIELDS, ConfigurationError, Problem, load_settings, meaning, takes
from entrypoints.wiring.settings import MAX_FILES_AT_ONCE, SECRETS, SECTIONS, Settings

ROOT = Path(__file__).parents[2]
SECRET = "s3cret-" * 6


def problems(**environ: str) -> dict[str, Problem]:
    with pytest.raises(ConfigurationError) as raised:
        load_settings({f"TRYON_{name.upper()}": value for name, value in environ.items()})
    return {problem.variable: problem for problem in raised.value.problems}


def test_all_that_is_wrong_is_told_at_once_with_what_it_holds_and_what_it_takes() -> None:
    found = problems(
        port="http", engine="foo", host="example.com", prot="1", preview_links="storage", url_ttl_seconds="9" * 5000
    )
    assert {name: problem.takes for name, problem in found.items()} == {
        "TRYON_PORT": "a whole number from 1 to 65,535",
        "TRYON_ENGINE": "http, sandbox or vertex",
        "TRYON_HOST": "an IP address without a zone, or localhost",
        "TRYON_PROT": "nothing: it is no setting; did you mean TRYON_PORT?",
        "TRYON_PREVIEW_LINKS": "service, unless TRYON_STORAGE_URL is a bucket",
        "TRYON_URL_TTL_SECONDS": "a whole number from 1 to 604,800",
    }
    assert found["TRYON_HOST"].holds == "example.com"


def test_a_secret_under_a_wrong_name_is_not_shown() -> None:
    assert SECRET not in problems(signingkey=SECRET)["TRYON_SIGNINGKEY"].holds


def test_the_service_starts_in_the_environment_of_each_guides_client() -> None:
    guides = [*(ROOT / "docs/integrate").glob("*.md"), ROOT / "entrypoints/http/openapi.yaml"]
    guides.append(ROOT / "entrypoints/http/playground/code_samples.js")
    named = {name for guide in guides for name in re.findall(r"\bTRYON_[A-Z_]+\b", guide.read_text())}
    for_clients = named - FIELDS.keys()
    assert for_clients
    assert load_settings(dict.fromkeys(for_clients, "gk_a_b")) == load_settings({})


@pytest.mark.parametrize("host", ["::1%lo", "[fe80::1%eth0]", "fe80::1%2"])
def test_an_address_with_a_zone_is_none_to_listen_on(host: str) -> None:
    assert set(problems(host=host, metrics_host=host)) == {"TRYON_HOST", "TRYON_METRICS_HOST"}


def test_the_table_has_a_line_for_each_problem_and_no_secret() -> None:
    url = f"postgres://me:{SECRET}@host/db"
    with pytest.raises(ConfigurationError) as raised:
        load_settings(
            {
                "TRYON_DATABASE_URL": url,
                "TRYON_SIGNING_KEY": SECRET[:9],
                "TRYON_ENGINE_URL": f"ftp://me:{SECRET}@x",
                "TRYON_PUBLIC_URL": f"gopher://x/?token={SECRET}",
            }
        )
    lines = str(raised.value).splitlines()
    assert lines[0].split() == ["variable", "holds", "takes"]
    assert len(lines) == 5
    assert SECRET[:9] not in str(raised.value)
    assert "postgres://********@host/db" in str(raised.value)


@pytest.mark.parametrize(
    ("name", "value", "held"),
    [
        ("host", "localhost", "127.0.0.1"),
        ("host", "[::1]", "::1"),
        ("metrics_host", "localhost", "127.0.0.1"),
        ("playground", "Off", False),
        ("fetch_http", "yes", True),
        ("port", "08000", 8000),
        ("data_dir", "~/x", Path("~/x").expanduser()),
        ("engine_url", "http://[::1]:9000/predict", "http://[::1]:9000/predict"),
        ("public_url", "https://photos.example.com/a", "https://photos.example.com/a"),
    ],
)
def test_a_value_is_read_as_it_is_meant(name: str, value: str, held: object) -> None:
    assert getattr(load_settings({f"TRYON_{name.upper()}": f" {value} "}), name) == held


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("engine_url", "http://[::1/x"),
        ("engine_url", "http://localhost:99999/x"),
        ("engine_url", "http://localhost:0/x"),
        ("engine_url", "https://"),
        ("public_url", "https://[::1"),
        ("public_url", "photos.example.com"),
        ("host", "127.0.0.1:8000"),
        ("host", ""),
        ("port", "0"),
        ("port", "1e3"),
        ("fetch_http", "maybe"),
        ("workers", "-1"),
        ("vertex_region", "US"),
        ("drain_seconds", "1.5"),
    ],
)
def test_a_value_that_does_not_fit_is_refused_at_the_start(name: str, value: str) -> None:
    if not value:
        assert load_settings({f"TRYON_{name.upper()}": value}) == load_settings({})
        return
    assert set(problems(**{name: value})) == {f"TRYON_{name.upper()}"}


@pytest.mark.parametrize("url", ["http://model.internal/predict", "http://10.0.0.7:9000", "http://localhost.evil.test"])
def test_photos_travel_to_an_engine_in_the_clear_on_this_machine_only(url: str) -> None:
    assert "https" in problems(engine="http", engine_url=url)["TRYON_ENGINE_URL"].takes
    load_settings({"TRYON_ENGINE": "http", "TRYON_ENGINE_URL": "http://localhost:9000/predict"})


def test_what_an_engine_needs_is_named() -> None:
    assert "needed with TRYON_ENGINE=http" in problems(engine="http")["TRYON_ENGINE_URL"].takes
    assert "needed with TRYON_ENGINE=vertex" in problems(engine="vertex")["TRYON_VERTEX_PROJECT"].takes


def test_replicas_share_a_key_for_pseudonyms() -> None:
    found = problems(database_url="postgresql+asyncpg://u:p@h/d")
    assert found.keys() == {"TRYON_PSEUDONYM_KEY"}
    assert "needed with PostgreSQL: all replicas have to share it" in found["TRYON_PSEUDONYM_KEY"].takes


def test_a_key_for_demos_is_long_where_strangers_may_try_it() -> None:
    assert "32 characters" in problems(dev_api_key="abc", host="0.0.0.0")["TRYON_DEV_API_KEY"].takes
    load_settings({"TRYON_DEV_API_KEY": "abc"})
    load_settings({"TRYON_DEV_API_KEY": SECRET, "TRYON_HOST": "0.0.0.0"})


# Secrets as files


@pytest.mark.parametrize("name", sorted(SECRETS))
def test_a_secret_may_be_the_content_of_a_file(tmp_path: Path, name: str) -> None:
    text = "postgresql+asyncpg://u:p@h/d" if name == "database_url" else SECRET
    (tmp_path / "secret").write_text(f"{text}\n")
    others = {} if name == "pseudonym_key" else {"TRYON_PSEUDONYM_KEY": SECRET}
    settings = load_settings(others | {f"TRYON_{name.upper()}_FILE": str(tmp_path / "secret")})
    assert getattr(settings, name) == text


@pytest.mark.parametrize("content", [b"", b"\n", b"\xff\xfe", b"x" * 100_000, None])
def test_a_file_that_holds_no_secret_is_told(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "secret").write_bytes(content)
    found = problems(signing_key_file=str(tmp_path / "secret"))
    assert found["TRYON_SIGNING_KEY_FILE"].takes.startswith("a readable text file that holds the secret (")


def test_a_secret_and_its_file_contradict_each_other(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text(SECRET)
    found = problems(signing_key=SECRET, signing_key_file=str(tmp_path / "secret"))
    assert "while TRYON_SIGNING_KEY is set" in found["TRYON_SIGNING_KEY_FILE"].takes


def test_only_secrets_are_read_from_files() -> None:
    assert "TRYON_PORT_FILE" in problems(port_file="/etc/hostname")


# Kubernetes


def service_links(service: str, address: str) -> dict[str, str]:
    """As the kubelet makes them (`envvars.FromServices`)."""
    host = f"[{address}]" if ":" in address else address
    port = f"{service}_PORT_8000_TCP"
    return {
        f"{service}_SERVICE_HOST": address,
        f"{service}_SERVICE_PORT": "8000",
        f"{service}_SERVICE_PORT_HTTP": "8000",
        f"{service}_PORT": f"tcp://{host}:8000",
        port: f"tcp://{host}:8000",
        f"{port}_PROTO": "tcp",
        f"{port}_PORT": "8000",
        f"{port}_ADDR": address,
    }


@pytest.mark.parametrize("service", ["TRYON", "TRYON_IMAGES", "TRYON_METRICS", "TRYON_2"])
@pytest.mark.parametrize("address", ["10.96.12.7", "fd00::12"])
def test_a_service_of_our_name_changes_nothing(service: str, address: str) -> None:
    assert load_settings(service_links(service, address)) == load_settings({})


def test_a_port_that_an_operator_sets_counts() -> None:
    assert load_settings({"TRYON_PORT": "9000", "TRYON_METRICS_PORT": "9001"}).port == 9000
    assert "TRYON_IMAGES_PORT" in problems(images_port="eight")


# docs/settings.md


def test_the_page_of_settings_is_the_one_that_the_settings_make() -> None:
    made = CliRunner().invoke(main, ["config", "reference"]).stdout
    advice = "Run: tryon-images config reference > docs/settings.md"
    assert (ROOT / "docs" / "settings.md").read_text() == made, advice


def test_every_setting_says_what_it_takes_and_means() -> None:
    for variable in FIELDS:
        assert takes(variable), variable
        assert re.fullmatch(r"[A-Z`].*\.", meaning(variable)), variable
    assert set(SECTIONS) <= {field.name for field in FIELDS.values()}


def test_headers_have_five_seconds_and_longer_where_a_proxy_keeps_connections(tmp_path: Path) -> None:
    proxied = "https://photos.example.com"
    assert Settings(data_dir=tmp_path).head_seconds == 5
    assert Settings(data_dir=tmp_path, public_url=proxied).head_seconds == 30
    assert Settings(data_dir=tmp_path, public_url=proxied, header_timeout_seconds=620).head_seconds == 620


@pytest.mark.parametrize(
    "slow",
    [{}, {"photo_timeout_seconds": 600}, {"upload_min_bytes_per_second": 1}, {"fetch_timeout_seconds": 3600}],
)
def test_a_tombstone_outlives_the_longest_upload_that_the_settings_allow(slow: dict[str, Any]) -> None:
    """Of three files of the largest size, a person and as many garments as may be, from a ticket's first second."""
    settings = Settings(**slow)
    photo = FAIR_TURN_SECONDS + PhotoLimits(cpu_seconds=settings.photo_timeout_seconds).answer_seconds
    receiving = MAX_FILES_AT_ONCE * settings.max_file_bytes / settings.upload_min_bytes_per_second
    seconds = receiving + BODY_MEMORY_SECONDS + settings.fetch_timeout_seconds + (1 + MAX_GARMENTS) * photo
    assert settings.longest_upload > Ticket.LONGEST + timedelta(seconds=seconds)
