"""The OpenAPI document: what it promises, and that nobody changes it by accident."""

import difflib
import json
import os
from pathlib import Path
from typing import Any

from entrypoints.http.errors import STATUS
from tests.http.conftest import Service

SNAPSHOT = Path(__file__).parent / "openapi.json"
ACCEPT = "TRYON_ACCEPT_CONTRACT"  # read by this test only
PUBLIC = {"getPreview", "live", "ready"}
OF_ROUTING = {"NOT_FOUND", "METHOD_NOT_ALLOWED"}
"""These come from paths and methods that the document does not have."""


def document(service: Service) -> dict[str, Any]:
    return dict(service.client.get("/docs/openapi.json").json())


def operations(service: Service) -> dict[str, dict[str, Any]]:
    paths = document(service)["paths"].values()
    return {operation["operationId"]: operation for path in paths for operation in path.values()}


def error_examples(operation: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {
        body["value"]["code"]: {"documented_at": status} | body["value"]
        for status, response in operation["responses"].items()
        for kind in response.get("content", {}).values()
        for body in kind.get("examples", {}).values()
        if "code" in body["value"]
    }


def test_the_document_is_the_one_that_clients_were_given(service: Service) -> None:
    text = json.dumps(document(service) | {"info": {}}, indent=2, ensure_ascii=False, sort_keys=True) + "\n"
    if os.environ.get(ACCEPT):
        SNAPSHOT.write_text(text)
    kept = SNAPSHOT.read_text()
    changes = "\n".join(difflib.unified_diff(kept.splitlines(), text.splitlines(), "promised", "now", lineterm="", n=4))
    assert not changes, f"The HTTP contract changed. If it should: {ACCEPT}=1 pytest {Path(__file__).name}\n{changes}"


def test_every_operation_has_a_name_words_and_a_place(service: Service) -> None:
    tags = {tag["name"] for tag in document(service)["tags"]}
    for operation in operations(service).values():
        assert operation["summary"]
        assert operation["description"]
        assert set(operation["tags"]) <= tags


def test_every_answer_with_a_body_shows_an_example_and_names_its_request(service: Service) -> None:
    for name, operation in operations(service).items():
        for status, response in operation["responses"].items():
            assert "x-request-id" in response["headers"], (name, status)
            json_body = response.get("content", {}).get("application/json")
            assert json_body is None or json_body["examples"], (name, status)


def test_every_code_is_documented_with_the_status_it_is_sent_with(service: Service) -> None:
    documented = set()
    for operation in operations(service).values():
        for code, body in error_examples(operation).items():
            assert int(body["documented_at"]) == body["status"] == STATUS[code]
            documented.add(code)
    assert documented == set(STATUS) - OF_ROUTING


def test_where_to_wait_is_told_wherever_waiting_helps(service: Service) -> None:
    for operation in operations(service).values():
        for status in {"202", "429", "503"} & set(operation["responses"]):
            assert "Retry-After" in operation["responses"][status]["headers"]


def test_all_but_previews_and_health_need_the_key(service: Service) -> None:
    open_to_all = {name for name, operation in operations(service).items() if not operation.get("security")}
    assert open_to_all == PUBLIC
    scheme = document(service)["components"]["securitySchemes"]["x-api-key"]
    assert (scheme["type"], scheme["in"], scheme["name"]) == ("apiKey", "header", "x-api-key")


def test_the_aliases_and_nothing_else_are_deprecated(service: Service) -> None:
    form = operations(service)["uploadImage"]["requestBody"]["content"]["multipart/form-data"]["schema"]
    assert {name for name, field in form["properties"].items() if field.get("deprecated")} == {
        "customerId",
        "retentionDays",
    }
    assert form["required"] == ["file"]


def test_messages_in_examples_are_those_of_the_errors(service: Service) -> None:
    shown = error_examples(operations(service)["getImage"])
    sent = service.get("/images/img_unknown").json()
    assert {key: shown["IMAGE_NOT_FOUND"][key] for key in sent} == sent


def test_the_page_brings_everything_along_and_runs_no_inline_script(service: Service) -> None:
    page = service.client.get("/docs")
    assert page.headers["content-type"].startswith("text/html")
    assert "script-src 'self';" in page.headers["content-security-policy"]
    assert "http" not in page.text
    for name in ("swagger-ui-bundle.js", "swagger-ui.css", "page.js", "page.css"):
        assert f"/docs/assets/{name}" in page.text
        asset = service.client.get(f"/docs/assets/{name}")
        assert asset.status_code == 200
        again = service.client.get(f"/docs/assets/{name}", headers={"if-none-match": asset.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")
    assert service.client.get("/docs/assets/..%2Freference_page.py").status_code == 404
