"""The running service against its own OpenAPI document: requests made up from it, every answer held to it."""

import asyncio
import contextlib
import io
import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, urlsplit

import jsonschema_rs
import pytest
import schemathesis
from hypothesis import HealthCheck, assume, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from multipart import MultipartError, MultipartParser, parse_options_header
from schemathesis import GenerationMode
from schemathesis.core.parameters import ParameterLocation
from schemathesis.specs.openapi.checks import negative_data_rejection, positive_data_acceptance

from adapters.memory.surroundings import InMemoryObjectStore, InMemoryPhotoFetcher
from adapters.memory.unit_of_work import InMemoryUnitOfWork
from application.authenticate import DEFAULT_ACCOUNT
from domain.customer import external_id_problem, is_text
from entrypoints.http.app import create_app
from entrypoints.http.upload_form import ALIASES, FILE, KNOWN
from entrypoints.wiring.container import Container
from entrypoints.wiring.settings import Settings
from tests.free_port import free_port
from tests.http.conftest import a_jpeg, account_with_key, an_in_process_processor
from tests.http.test_accepted_requests import is_documented_field
from tests.live_server import serving

NAME_OTHERS = ["startTryOn", "tryOn", "registerProduct"]
"""Pictures at URLs, stored images, parts of the form: a request that follows the document may name one that is not."""
TAKE_INPUT = [
    "uploadImage",
    "checkImage",
    "getImage",
    "deleteImage",
    "eraseCustomer",
    "erase",
    "getErasure",
    "getPreview",
    "getGeneration",
    "createUploadTicket",
    "getProduct",
    "deleteProduct",
    "listProducts",
    "listGenerations",
    *NAME_OTHERS,
]
TAKE_NONE = ["live", "ready", "getCredits"]
FORMS = {"uploadImage", "checkImage"}
EXAMPLES = 25

# What Hypothesis takes for a strategy that draws by itself is a thread of another test's server that draws meanwhile.
pytestmark = pytest.mark.filterwarnings(
    "ignore:Do not use the `random` module:hypothesis.errors.HypothesisDeprecationWarning"
)

schemathesis.openapi.format("binary", st.sampled_from([a_jpeg(64, 80), a_jpeg(80, 64)]))


@dataclass(frozen=True)
class Described:
    """A running service, by its document, and a key to it."""

    document: Any
    key: str


class _Everywhere(dict[str, bytes]):
    """A web with a picture at every URL."""

    def __contains__(self, url: object) -> bool:
        return True

    def __missing__(self, url: str) -> bytes:
        return a_jpeg(64, 80)


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Described]:
    port = free_port()
    container = Container(
        settings=Settings(data_dir=tmp_path_factory.mktemp("data"), port=port, rate_limit_per_minute=0),
        objects=InMemoryObjectStore(),
        work=InMemoryUnitOfWork(),
        processor=an_in_process_processor(),
        fetcher=InMemoryPhotoFetcher(_Everywhere()),
    )
    key = asyncio.run(account_with_key(container, DEFAULT_ACCOUNT))
    with serving(create_app(container), port) as url:
        yield Described(schemathesis.openapi.from_url(f"{url}/docs/openapi.json"), key)


@pytest.mark.parametrize("operation_id", TAKE_INPUT + TAKE_NONE)
def test_requests_that_follow_the_document_are_answered_as_it_says(service: Described, operation_id: str) -> None:
    hold_to_the_document(service, operation_id, GenerationMode.POSITIVE)


@pytest.mark.parametrize("operation_id", TAKE_INPUT)
def test_requests_that_break_the_document_are_refused_as_it_says(service: Described, operation_id: str) -> None:
    hold_to_the_document(service, operation_id, GenerationMode.NEGATIVE)


def hold_to_the_document(service: Described, operation_id: str, mode: GenerationMode) -> None:
    operation = service.document.find_operation_by_id(operation_id)
    # Deletion is idempotent: an id that no image can have is as gone as one that an image had.
    excluded: list[Any] = [negative_data_rejection] if operation_id == "deleteImage" else []
    if operation_id in NAME_OTHERS:
        excluded = [positive_data_acceptance]

    numbers = itertools.count()

    @hypothesis_settings(
        max_examples=EXAMPLES, derandomize=True, database=None, deadline=None, suppress_health_check=list(HealthCheck)
    )
    @given(operation.as_strategy(generation_mode=mode))
    def holds(case: Any) -> None:
        if operation_id in FORMS and mode is GenerationMode.POSITIVE:
            drop_contradictions(case.body)
        assume(mode is GenerationMode.NEGATIVE or not names_nobody(case.body))
        assume(mode is GenerationMode.NEGATIVE or not names_nobody(case.path_parameters))
        if mode is GenerationMode.POSITIVE and "Idempotency-Key" in case.headers:
            case.headers["Idempotency-Key"] = (
                f"{operation_id}-{next(numbers)}"  # a key made up twice would be refused for its request
            )
        if mode is GenerationMode.POSITIVE and case.query:
            case.query.pop("cursor", None)  # only a page can tell one
        response = case.call(headers={"x-api-key": service.key})
        mended = [negative_data_rejection] if is_mended(case, response.request) else []
        case.validate_response(response, headers={"x-api-key": service.key}, excluded_checks=excluded + mended)

    holds()


def drop_contradictions(form: dict[str, Any]) -> None:
    """JSON Schema cannot say that an alias has to agree with its new name."""
    for alias, name in ALIASES.items():
        if name in form:
            form.pop(alias, None)


def names_nobody(fields: Any) -> bool:
    """JSON Schema does not say that a placeholder, or an id that no path can carry, is refused."""
    sent = (fields.get(name) for name in ("externalUserId", "customerId")) if isinstance(fields, dict) else ()
    return any(isinstance(text, str) and is_text(text) and bool(external_id_problem(text)) for text in sent)


def is_mended(case: Any, sent: Any) -> bool:
    """Did all that was broken in a request become sound, or vanish, when it was sent?

    The key is always there, unknown and empty parts of a query break nothing, and a form knows neither types nor lists.
    """
    sound: dict[Any, Callable[[], bool]] = {
        ParameterLocation.BODY: lambda: case.media_type == "multipart/form-data" and is_sound(form_in(sent)),
        ParameterLocation.HEADER: lambda: len(sent.headers.get("Idempotency-Key", "k").strip('" ')) in range(1, 256),
        ParameterLocation.QUERY: lambda: has_sound_query(case.operation.query, sent),
    }
    broken = [location for location, part in case.meta.components.items() if part.mode.is_negative]
    return bool(broken) and all(location in sound and sound[location]() for location in broken)


def has_sound_query(documented: Any, sent: Any) -> bool:
    fields = {name: values for name, values in parse_qs(urlsplit(sent.url).query).items() if name in documented}
    return all(
        jsonschema_rs.is_valid(documented.get(name).validation_schema, int(text) if text.isdecimal() else text)
        for name, values in fields.items()
        for text in values
    )


def form_in(request: Any) -> dict[str, list[str]]:
    """The fields of a form as a server gets them, those that are empty left out, since they count as not sent."""
    _, options = parse_options_header(request.headers.get("Content-Type", ""))
    fields: dict[str, list[str]] = {}
    with contextlib.suppress(MultipartError):
        for part in MultipartParser(io.BytesIO(request.body), options.get("boundary", "?")):
            if part.raw:
                fields.setdefault(part.name, []).append(part.raw.decode(errors="replace"))
    return fields


def is_sound(form: dict[str, list[str]]) -> bool:
    """Does sending make good what was broken? A number becomes text, a list so many parts, and an empty list none."""
    known = {name: texts for name, texts in form.items() if name in KNOWN}
    return FILE in form and all(is_documented_field(name, text) for name, texts in known.items() for text in texts)
