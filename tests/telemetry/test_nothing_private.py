"""Nothing that a client sends, and nothing of a photo, is in a log line, a metric, a trace or an error."""

import io
import json
import logging
import warnings
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from PIL.ExifTags import Base

from tests.http.conftest import API, a_jpeg
from tests.telemetry.observed import Observed, observed_service

CANARY = "cAnArY7q"
"""In everything that is sent, in one form or another."""


def a_photo_that_names_somebody() -> bytes:
    exif = Image.Exif()
    exif[Base.Artist] = CANARY
    exif[Base.ImageDescription] = CANARY
    out = io.BytesIO()
    Image.new("RGB", (480, 600), (90, 140, 200)).save(out, "JPEG", exif=exif, comment=CANARY.encode())
    return out.getvalue()


def headers(key: str) -> dict[str, str]:
    return {
        "x-api-key": key,
        "idempotency-key": f"key-{CANARY}",
        "user-agent": f"{CANARY}/1.0",
        "referer": f"https://shop.test/{CANARY}",
        "cookie": f"session={CANARY}",
        "x-forwarded-for": CANARY,
        "tracestate": f"shop={CANARY}",
        "traceparent": f"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-{CANARY}",
        "baggage": f"customer={CANARY}",
        "x-request-id": f"{CANARY} {CANARY}",
    }


def upload(service: Observed, photo: bytes, key: str | None = None, **fields: str) -> Any:
    return service.client.post(
        f"{API}/images/upload?customer={CANARY}",
        files={"file": (f"{CANARY}.jpg", photo, f"image/{CANARY}")},
        data=fields,
        headers=headers(key or service.key),
    )


async def fails_as_libraries_do(name: str, data: bytes) -> None:
    """An object store's `put` whose error quotes what it was given."""
    raise RuntimeError(f"cannot store {CANARY} {name} {data[:20]!r}")


def test_no_canary_is_seen_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = []
    with observed_service(tmp_path) as service:
        get, delete = service.client.get, service.client.delete
        mine = headers(service.key)
        stored = upload(service, a_photo_that_names_somebody(), externalUserId=CANARY)
        assert stored.status_code == 201
        link = stored.json()["imageUrl"]
        get(link)
        answers += [
            upload(service, a_jpeg(), externalUserId=CANARY),  # the key is reused for another request
            upload(service, f"{CANARY} is no photo".encode(), externalUserId=CANARY),
            upload(service, b"\xff\xd8\xff" + CANARY.encode(), crop=CANARY, keepForDays=CANARY),
            upload(service, a_jpeg(), key=f"gk_{CANARY}_{CANARY}"),
            service.client.post(f"{API}/images/upload", content=CANARY, headers=mine),
            get(f"{API}/images/{CANARY}", headers=mine),
            get(f"{API}/{CANARY}?{CANARY}={CANARY}", headers=mine),
            get(f"{link}{CANARY}"),
            delete(f"{API}/customers/{CANARY}/{CANARY}", headers=mine),
            service.client.request(CANARY.upper(), f"{API}/images/{CANARY}", headers=mine),
        ]
        with monkeypatch.context() as outage:
            outage.setattr(service.container.objects(), "put", fails_as_libraries_do)
            failed = service.client.post(
                f"{API}/images/upload",
                files={"file": (f"{CANARY}.jpg", a_photo_that_names_somebody(), "image/jpeg")},
                headers=mine | {"idempotency-key": f"another-{CANARY}"},
            )
        assert failed.json()["code"] == "INTERNAL_ERROR"
        assert delete(f"{API}/customers/{CANARY}", headers=mine).status_code == 204
        what_libraries_say()
        answered = len(answers) + 4
        assert len(service.lines("request")) == answered
        assert len(service.lines("unhandled_error")) == 1
        log, metrics = service.log.getvalue(), service.metrics()
        secrets = [CANARY, CANARY.upper(), CANARY.lower(), service.key.split("_", 2)[2], link.rpartition("=")[2]]
    spans = json.dumps(service.spans())
    bodies = "".join(answer.text for answer in [*answers, failed])
    assert "library_message" in log
    assert "RuntimeError" in log
    assert f"DELETE {API}/customers/" in spans
    assert 'tryon_images_total{format="JPEG",outcome="stored"}' in metrics
    for place, text in {"log": log, "metrics": metrics, "spans": spans, "errors": bodies}.items():
        for secret in secrets:
            assert secret not in text, f"{secret!r} is in the {place}"


def what_libraries_say() -> None:
    library = logging.getLogger("some.library")
    try:
        raise ValueError(f"bad value {CANARY}")
    except ValueError:
        library.exception("could not send %s to https://storage.test/%s", CANARY, CANARY)
    library.warning(f"already formatted {CANARY}", stack_info=True)
    logging.captureWarnings(True)
    try:
        with warnings.catch_warnings(action="always"):
            logging.captureWarnings(True)
            warnings.warn(f"deprecated {CANARY}", stacklevel=1)
    finally:
        logging.captureWarnings(False)
