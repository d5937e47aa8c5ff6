"""Every row of the contract's table of errors, made to happen."""

import re
from collections.abc import Iterator
from typing import Any

import pytest

from domain.account import KeyId
from entrypoints.http.errors import STATUS
from tests.http.conftest import API, Service, a_jpeg

UPLOAD = f"{API}/images/upload"
TEN_MIB = 10 * 1024 * 1024


def refused(answer: Any, code: str) -> dict[str, Any]:
    body = dict(answer.json())
    assert (answer.status_code, body["code"], body["status"]) == (STATUS[code], code, STATUS[code])
    assert body["message"]
    assert answer.headers["x-request-id"]
    assert answer.headers["content-type"].startswith("application/json")
    return body


def test_no_api_key(service: Service) -> None:
    refused(service.client.get(f"{API}/images/img_1"), "MISSING_API_KEY")


@pytest.mark.parametrize("key", ["gk_unknown_key", "nonsense", "gk_", "gk__", "gk_\u00fc_x".encode().decode("latin-1")])
def test_an_unknown_api_key(service: Service, key: str) -> None:
    refused(
        service.client.get(f"{API}/images/img_1", headers=[(b"x-api-key", key.encode("latin-1"))]), "INVALID_API_KEY"
    )


def test_a_revoked_api_key(service: Service) -> None:
    key_id = service.key.split("_")[1]
    service.run(service.container.revoke_key().execute(KeyId(key_id)))
    refused(service.get("/images/img_1"), "INVALID_API_KEY")


def test_a_key_with_the_right_id_and_a_wrong_secret(service: Service) -> None:
    other = "y" if service.key.endswith("x") else "x"
    refused(service.get("/images/img_1", key=service.key[:-1] + other), "INVALID_API_KEY")


@pytest.mark.parametrize(
    ("path", "methods"),
    [
        (UPLOAD, "OPTIONS, POST"),
        (f"{API}/images/img_1", "DELETE, GET, HEAD, OPTIONS"),
        (f"{API}/products", "GET, HEAD, OPTIONS, POST"),
        (f"{API}/products/shirt-1", "DELETE, GET, HEAD, OPTIONS"),
        (f"{API}/customers/erase", "DELETE, OPTIONS, POST"),
        ("/health/live", "GET, HEAD, OPTIONS"),
    ],
)
def test_which_methods_a_route_has_is_told_without_a_key(service: Service, path: str, methods: str) -> None:
    """As a browser asks before it sends one: all of them, whichever handler of the path they belong to."""
    answer = service.client.options(path)
    assert (answer.status_code, answer.headers["allow"]) == (204, methods)
    assert service.client.patch(path).headers["allow"] == methods


def test_the_key_is_checked_before_the_body_is_read(service: Service) -> None:
    headers = {"content-type": "multipart/form-data; boundary=b", "x-api-key": "gk_a_b"}
    refused(service.client.post(UPLOAD, content=bytes(20 * 1024 * 1024), headers=headers), "INVALID_API_KEY")


def test_every_malformed_field_is_named_at_once(service: Service) -> None:
    answer = service.upload(keepForDays="2", crop="maybe", externalUserId="x" * 257)
    body = refused(answer, "VALIDATION_FAILED")
    assert sorted(problem["path"] for problem in body["details"]) == ["crop", "externalUserId", "keepForDays"]
    assert all(problem["message"] for problem in body["details"])


@pytest.mark.parametrize("days", ["2", "7.0", "1e0", "+1", " 1", "01", "seven", "-1", "٣"])
def test_only_1_3_and_7_are_days(service: Service, days: str) -> None:
    refused(service.upload(keepForDays=days), "VALIDATION_FAILED")


def test_a_field_that_is_not_utf8(service: Service) -> None:
    form = (
        b'--b\r\nContent-Disposition: form-data; name="externalUserId"\r\n\r\n\xff\xfe\r\n'
        b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.jpg"\r\n\r\n' + a_jpeg() + b"\r\n--b--\r\n"
    )
    assert refused(post(service, form), "VALIDATION_FAILED")["details"][0]["path"] == "externalUserId"


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("application/json", b"{}"),
        ("text/plain", b"hello"),
        ("", b""),
        ("multipart/form-data", b"--b\r\n\r\n--b--"),
        ("multipart/form-data; boundary=b", b"nonsense"),
        ("multipart/form-data; boundary=b", b'--b\r\nContent-Disposition: form-data; name="file"\r\n\r\ncut off'),
        ("multipart/form-data; boundary=b", b"--b\r\n" + b"x" * 20_000),
        ("multipart/form-data; boundary=b", b'--b\r\nContent-Disposition: form-data; name="a"\r\n\r\n\r\n' * 100),
        ("multipart/mixed; boundary=b", b"--b--\r\n"),
    ],
)
def test_a_body_that_is_no_well_formed_form(service: Service, content_type: str, body: bytes) -> None:
    refused(post(service, body, content_type), "VALIDATION_FAILED")


def post(service: Service, body: bytes, content_type: str = "multipart/form-data; boundary=b") -> Any:
    headers = {"x-api-key": service.key, "content-type": content_type}
    return service.client.post(UPLOAD, content=body, headers=headers)


def test_a_form_without_a_file(service: Service) -> None:
    answer = service.client.post(UPLOAD, files={"photo": ("a.jpg", a_jpeg())}, headers={"x-api-key": service.key})
    refused(answer, "FILE_REQUIRED")


def test_an_empty_file(service: Service) -> None:
    refused(service.upload(b""), "INVALID_IMAGE")


def test_a_truncated_photo(service: Service) -> None:
    refused(service.upload(a_jpeg()[:-500]), "INVALID_IMAGE")


def test_a_photo_of_too_many_pixels(service: Service) -> None:
    header = a_jpeg(8, 8).replace(b"\x00\x08\x00\x08\x03", b"\xff\xdc\xff\xdc\x03", 1)
    refused(service.upload(header), "IMAGE_TOO_LARGE")


@pytest.mark.parametrize("text", [b"just a text file", b"%PDF-1.7", b"GIF89a" + bytes(100), b"<svg/>"])
def test_any_other_format_whatever_its_name(service: Service, text: bytes) -> None:
    refused(service.upload(text), "UNSUPPORTED_IMAGE_FORMAT")


def padded(size: int) -> bytes:
    jpeg = a_jpeg()
    return jpeg + bytes(size - len(jpeg))


def test_a_file_of_exactly_10_mib_is_accepted_and_one_byte_more_is_not(service: Service) -> None:
    assert service.upload(padded(TEN_MIB)).status_code == 201
    refused(service.upload(padded(TEN_MIB + 1)), "FILE_TOO_LARGE")


def test_a_body_that_announces_too_much_is_refused_by_its_length(service: Service) -> None:
    answer = refused(service.upload(padded(TEN_MIB + 1024 * 1024)), "FILE_TOO_LARGE")
    assert re.match(r"The request has 11,534,\d{3} bytes; a file may have 10,485,760\.", answer["message"])
    assert answer["details"] == [{"path": "file", "message": answer["message"]}]


def test_a_chunked_body_without_a_length_is_refused_while_it_is_read(service: Service) -> None:
    def chunks() -> Iterator[bytes]:
        yield b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.jpg"\r\n\r\n'
        for _ in range(11 * 16):
            yield bytes(64 * 1024)

    refused(post(service, chunks()), "FILE_TOO_LARGE")  # type: ignore[arg-type]  # httpx takes a generator too


def test_an_unknown_image(service: Service) -> None:
    refused(service.get("/images/img_unknown"), "IMAGE_NOT_FOUND")


@pytest.mark.parametrize("path", ["/nothing/here", "/tryon/v2/images/upload", "/tryon/v1/images/a/b/c"])
def test_an_unknown_route(service: Service, path: str) -> None:
    refused(service.client.get(path, headers={"x-api-key": service.key}), "NOT_FOUND")


def test_a_wrong_method_names_the_right_ones(service: Service) -> None:
    answer = service.client.put(UPLOAD, headers={"x-api-key": service.key})
    refused(answer, "METHOD_NOT_ALLOWED")
    assert "POST" in answer.headers["allow"]


def upload_with_key(service: Service, key: str, photo: bytes | None = None, **fields: str) -> Any:
    headers = {"x-api-key": service.key, "idempotency-key": key}
    files = {"file": ("photo.jpg", photo or a_jpeg(), "image/jpeg")}
    return service.client.post(UPLOAD, files=files, data=fields, headers=headers)


def test_the_same_request_with_the_same_key_stores_nothing_twice(service: Service) -> None:
    first = upload_with_key(service, "k1")
    service.clock.advance(hours=23)
    again = upload_with_key(service, "k1")
    assert (first.status_code, again.status_code) == (201, 201)
    assert again.json()["imageId"] == first.json()["imageId"]
    assert again.json()["imageUrl"] != first.json()["imageUrl"]
    service.clock.advance(hours=1)
    assert upload_with_key(service, "k1").json()["imageId"] != first.json()["imageId"]


def test_a_key_reused_for_another_request(service: Service) -> None:
    upload_with_key(service, "k1")
    refused(upload_with_key(service, "k1", crop="false"), "IDEMPOTENCY_KEY_REUSED")
    refused(upload_with_key(service, "k1", fit="pad"), "IDEMPOTENCY_KEY_REUSED")
    refused(upload_with_key(service, "k1", photo=a_jpeg(500, 500)), "IDEMPOTENCY_KEY_REUSED")


def test_a_key_of_a_deleted_image_is_free(service: Service) -> None:
    first = upload_with_key(service, "k1").json()["imageId"]
    service.delete(f"/images/{first}")
    assert upload_with_key(service, "k1").json()["imageId"] != first


def test_a_key_whose_upload_failed_is_free(service: Service) -> None:
    refused(upload_with_key(service, "k1", photo=b"\xff\xd8\xff nonsense"), "INVALID_IMAGE")
    assert upload_with_key(service, "k1").status_code == 201


@pytest.mark.parametrize("key", ["", "x" * 256])
def test_an_idempotency_key_of_a_wrong_length(service: Service, key: str) -> None:
    assert refused(upload_with_key(service, key), "VALIDATION_FAILED")["details"][0]["path"] == "Idempotency-Key"


def test_the_callers_request_id_comes_back_and_nonsense_does_not(service: Service) -> None:
    for sent, is_kept in (("abc-12345", True), ("short", False), ("a b c d e f", False), ("x" * 65, False)):
        answer = service.client.get("/health/live", headers={"x-request-id": sent})
        assert (answer.headers["x-request-id"] == sent) is is_kept


def test_health(service: Service) -> None:
    assert service.client.get("/health/live").json() == {"status": "live"}
    assert service.client.get("/health/ready").json() == {"status": "ready", "works": ["uploads", "reads", "erasures"]}
