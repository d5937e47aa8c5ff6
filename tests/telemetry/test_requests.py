"""Observation of a request: one line, the metrics, a trace."""

from pathlib import Path

from prometheus_client import REGISTRY

from tests.http.conftest import API, a_jpeg
from tests.telemetry.observed import Observed, observed_service

UPLOAD = f"{API}/images/upload"
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


def upload(service: Observed, photo: bytes, **headers: str) -> str:
    answer = service.client.post(
        UPLOAD, files={"file": ("a.jpg", photo, "image/jpeg")}, headers={"x-api-key": service.key, **headers}
    )
    return str(answer.json().get("imageId") or answer.json()["code"])


def counted(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


def test_an_upload_is_one_line_with_its_stages_sizes_and_formats(tmp_path: Path) -> None:
    photo = a_jpeg(480, 600)
    with observed_service(tmp_path) as service:
        image_id = upload(service, photo, **{"x-request-id": "abc-12345"})
        (line,) = service.lines("request")
    assert line["stages_ms"].keys() == {"read", "store", "database"}
    assert sum(line["stages_ms"].values()) <= line["duration_ms"] + 1
    assert line["account_id"].startswith("acc_")
    facts = {"method", "route", "status", "image_id", "request_id", "photo_bytes", "photo_format", "photo_width"}
    assert {name: line[name] for name in facts} == {
        "method": "POST",
        "route": UPLOAD,
        "status": 201,
        "image_id": image_id,
        "request_id": "abc-12345",
        "photo_bytes": len(photo),
        "photo_format": "JPEG",
        "photo_width": 480,
    }
    assert line["stored_bytes"] > 0
    assert line["received_bytes"] > len(photo)


def test_every_request_is_one_line_also_those_that_no_route_takes(tmp_path: Path) -> None:
    with observed_service(tmp_path) as service:
        service.client.get("/nothing/here")
        service.client.put(UPLOAD)
        service.client.get(f"{API}/images/img_1")
        service.client.get("/health/live")
        seen = [(line["route"], line["status"], line.get("code")) for line in service.lines("request")]
    assert seen == [
        ("unmatched", 404, "NOT_FOUND"),
        ("unmatched", 405, "METHOD_NOT_ALLOWED"),
        (f"{API}/images/{{imageId}}", 401, "MISSING_API_KEY"),
        ("/health/live", 200, None),
    ]


def test_an_upload_is_a_trace_with_its_stages_inside(tmp_path: Path) -> None:
    with observed_service(tmp_path) as service:
        upload(service, a_jpeg(), **{"traceparent": f"00-{TRACE}-00f067aa0ba902b7-01", "x-request-id": "customer-4711"})
    assert "customer-4711" not in str(service.spans())
    spans = {span["name"]: span for span in service.spans()}
    whole = spans.pop(f"POST {UPLOAD}")
    assert whole["context"]["trace_id"] == f"0x{TRACE}"
    assert spans.keys() == {"read", "store", "database"}
    for span in spans.values():
        assert span["parent_id"] == whole["context"]["span_id"]
        assert whole["start_time"] <= span["start_time"] <= span["end_time"] <= whole["end_time"]


def test_figures_count_what_happened(tmp_path: Path) -> None:
    stored = {"format": "JPEG", "outcome": "stored"}
    unreadable = {"format": "unknown", "outcome": "INVALID_IMAGE"}
    before = [counted("tryon_images_total", **labels) for labels in (stored, unreadable)]
    rejected = counted("tryon_rejections_total", code="INVALID_IMAGE")
    erased = counted("tryon_erasures_total")
    with observed_service(tmp_path) as service:
        upload(service, a_jpeg())
        upload(service, b"\xff\xd8\xff nonsense")
        service.client.delete(f"{API}/customers/ann", headers={"x-api-key": service.key})
    assert [counted("tryon_images_total", **labels) for labels in (stored, unreadable)] == [n + 1 for n in before]
    assert counted("tryon_rejections_total", code="INVALID_IMAGE") == rejected + 1
    assert counted("tryon_erasures_total") == erased + 1


def test_an_invented_method_makes_no_label_of_its_own(tmp_path: Path) -> None:
    with observed_service(tmp_path) as service:
        service.client.request("BREW", "/coffee")
        assert service.lines("request")[0]["method"] == "other"
        assert "BREW" not in service.metrics()
