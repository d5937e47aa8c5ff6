"""The OpenAPI document, which is written by hand: that it tells of every route and code there is, and of no other."""

import hashlib
import re
from typing import Any

from litestar.routes import HTTPRoute

from domain.photo import WarningCode
from entrypoints.http.errors import STATUS
from entrypoints.http.pages import OWN_FILES
from tests.http.conftest import Service

OPEN_TO_ALL = {"getPreview", "live", "ready"}
OF_ROUTING = {"NOT_FOUND", "METHOD_NOT_ALLOWED"}
"""These come from paths and methods that the document does not have."""
LANGUAGES = ["Shell", "TypeScript", "Python"]


def document(service: Service) -> dict[str, Any]:
    return dict(service.client.get("/docs/openapi.json").json())


def operations(service: Service) -> dict[str, dict[str, Any]]:
    found = {}
    for path, item in document(service)["paths"].items():
        for method, operation in item.items():
            if method != "parameters":
                found[operation["operationId"]] = operation | {"at": f"{method.upper()} {path}"}
    return found


def resolved(service: Service, value: dict[str, Any]) -> dict[str, Any]:
    """What a reference refers to."""
    while "$ref" in value:
        target: Any = document(service)
        for step in value["$ref"].removeprefix("#/").split("/"):
            target = target[step]
        value = target
    return value


def error_examples(service: Service, operation: dict[str, Any]) -> dict[str, dict[str, Any]]:
    found = {}
    for status, response in operation["responses"].items():
        for kind in resolved(service, response).get("content", {}).values():
            for name, example in kind.get("examples", {}).items():
                if "code" in (value := resolved(service, example)["value"]):
                    found[name] = value | {"documented_at": status}
    return found


IDS_OF_CUSTOMERS = {"/tryon/v1/customers/erase", "/tryon/v1/customers"}
"""Somebody whose id is `erase`, and ids of slashes, which the framework folds."""


def test_every_route_is_in_the_document_and_every_operation_of_it_is_served(service: Service) -> None:
    served = {}
    for route in service.client.app.routes:
        if not isinstance(route, HTTPRoute) or not route.path.startswith(("/tryon/", "/health/")):
            continue
        path = re.sub(r":\w+}", "}", route.path)
        for method, (handler, _) in route.route_handler_map.items():
            is_an_id = method == "DELETE" and path in IDS_OF_CUSTOMERS
            if method not in {"OPTIONS", "HEAD"} and not is_an_id:
                served[f"{method} {path}"] = handler.operation_id
    documented = {operation["at"]: name for name, operation in operations(service).items()}
    assert served.items() <= documented.items()
    assert set(documented.values()) == set(served.values())


def test_the_servers_address_is_the_public_one(service: Service) -> None:
    assert document(service)["servers"] == [{"url": "http://photos.test"}]
    assert document(service)["info"]["version"] != "0.0.0"


def test_a_client_that_has_the_document_need_not_read_it_again(service: Service) -> None:
    first = service.client.get("/docs/openapi.json")
    again = service.client.get("/docs/openapi.json", headers={"if-none-match": first.headers["etag"]})
    assert (first.headers["content-type"], again.status_code) == ("application/json", 304)


def test_every_operation_shows_how_it_is_called(service: Service) -> None:
    for name, operation in operations(service).items():
        assert operation["summary"]
        assert operation["description"]
        assert [sample["lang"] for sample in operation["x-codeSamples"]] == LANGUAGES, name


def test_every_answer_with_a_body_shows_an_example_and_names_its_request(service: Service) -> None:
    for name, operation in operations(service).items():
        for status, response in operation["responses"].items():
            whole = resolved(service, response)
            assert "x-request-id" in whole["headers"], (name, status)
            json_body = whole.get("content", {}).get("application/json")
            assert json_body is None or json_body["examples"], (name, status)


def test_every_code_is_documented_with_the_status_it_is_sent_with(service: Service) -> None:
    documented = set()
    for operation in operations(service).values():
        for code, body in error_examples(service, operation).items():
            assert int(body["documented_at"]) == body["status"] == STATUS.get(code, body["status"])
            assert body["code"] == code
            documented.add(code)
    assert documented >= set(STATUS) - OF_ROUTING
    assert set(known_values(service, "ErrorCode")) == documented | OF_ROUTING


def test_every_warning_is_documented(service: Service) -> None:
    codes = document(service)["components"]["schemas"]["Warning"]["properties"]["code"]
    assert set(codes["anyOf"][0]["enum"]) >= set(WarningCode)


def test_where_to_wait_is_told_wherever_waiting_helps(service: Service) -> None:
    for operation in operations(service).values():
        for status in {"202", "429", "503"} & set(operation["responses"]):
            if operation["operationId"] != "ready":
                assert "Retry-After" in resolved(service, operation["responses"][status])["headers"]


def test_all_but_previews_and_health_need_a_key_or_a_ticket(service: Service) -> None:
    needed = document(service)["security"]
    found = operations(service).items()
    open_to_all = {name for name, operation in found if {} in (operation.get("security", needed) or [{}])}
    assert open_to_all == OPEN_TO_ALL
    by_ticket = {name for name, operation in found if {"uploadTicket": []} in operation.get("security", [])}
    assert by_ticket == {"uploadImage", "checkImage"}


def test_open_lists_of_values_take_new_ones(service: Service) -> None:
    for schema in ("ErrorCode", "GenerationStatus"):
        assert document(service)["components"]["schemas"][schema]["anyOf"][1] == {"type": "string"}


def test_messages_in_examples_are_those_of_the_errors(service: Service) -> None:
    shown = error_examples(service, operations(service)["getImage"])
    sent = service.get("/images/img_unknown").json()
    sent.pop("requestId", None)
    assert {key: shown["IMAGE_NOT_FOUND"][key] for key in sent} == sent


def known_values(service: Service, schema: str) -> list[str]:
    return list(document(service)["components"]["schemas"][schema]["anyOf"][0]["enum"])


def test_the_page_brings_everything_along_and_runs_no_inline_script(service: Service) -> None:
    page = service.client.get("/docs")
    assert page.headers["content-type"].startswith("text/html")
    assert "script-src 'self';" in page.headers["content-security-policy"]
    assert "http" not in page.text
    for name in ("rapidoc.js", "page.js"):
        asset = service.client.get(f"/docs/assets/{name}")
        assert asset.status_code == 200
        again = service.client.get(f"/docs/assets/{name}", headers={"if-none-match": asset.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")
    assert service.client.get("/docs/assets/..%2Fopenapi.yaml").status_code == 404


def test_the_page_is_small_on_the_wire_and_its_files_are_kept_by_their_hash(service: Service) -> None:
    page = service.client.get("/docs")
    addresses = re.findall(r'src="(/docs/assets/[^"]+)"', page.text)
    assert len(addresses) == 2
    sizes = [int(page.headers["content-length"])]
    for address in [*addresses, "/docs/openapi.json"]:
        answer = service.client.get(address, headers={"accept-encoding": "gzip"})
        assert answer.headers["content-encoding"] == "gzip"
        sizes.append(int(answer.headers["content-length"]))
        if "?" in address:
            assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
            assert service.client.get(address[:-1] + "_").headers["cache-control"] == "no-cache"
    assert sum(sizes) < 300_000


def test_the_reference_viewer_is_the_file_that_was_published() -> None:
    viewer = (OWN_FILES / "rapidoc.js").read_bytes()
    assert hashlib.sha256(viewer).hexdigest() == "cd1e847ba5a90a423fe56e2e4c82a76005a3c7e1361df1f131a95151562c6ab7"
