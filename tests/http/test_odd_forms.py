"""Forms as clients in use write them, and what is said of those that hold no photo."""

from typing import Any

import pytest

from tests.http.conftest import API, Service, a_jpeg

UPLOAD = f"{API}/images/upload"
PHOTO = a_jpeg()


def form(*parts: tuple[bytes, bytes], line_end: bytes = b"\r\n", boundary: bytes = b"b") -> bytes:
    written = b"".join(
        b"--" + boundary + line_end + b"Content-Disposition: " + head + line_end + line_end + content + line_end
        for head, content in parts
    )
    return written + b"--" + boundary + b"--" + line_end


def post(service: Service, body: bytes, content_type: str = "multipart/form-data; boundary=b", **headers: str) -> Any:
    sent = {"x-api-key": service.key, "content-type": content_type} | headers
    return service.client.post(UPLOAD, content=body, headers=sent)


FILE = b'form-data; name="file"; filename="a.jpg"'
ACCEPTED = {
    "Latin-1 file name": form((b'form-data; name="file"; filename="caf\xe9.jpg"', PHOTO)),
    "Shift-JIS file name": form((b'form-data; name="file"; filename="\x8e\xca\x90^.jpg"', PHOTO)),
    "GBK file name": form((b'form-data; name="file"; filename="\xd5\xd5\xc6\xac.jpg"', PHOTO)),
    "a field whose name is not UTF-8": form((b'form-data; name="n\xe4me"', b"x"), (FILE, PHOTO)),
    "an unquoted name": form((b"form-data; name=file; filename=a.jpg", PHOTO)),
    "no file name": form((b'form-data; name="file"', PHOTO)),
    "attachment": form((b'attachment; name="file"; filename="a.jpg"', PHOTO)),
    "LF line ends": form((FILE, PHOTO), line_end=b"\n"),
    "an empty file field before the real one": form((b'form-data; name="file"; filename=""', b""), (FILE, PHOTO)),
    "a part header of another charset": form((FILE + b"\r\nX-Note: caf\xe9\r\nContent-Type: image/jp\xe9g", PHOTO)),
    "a folded header": form((b'form-data;\r\n name="file"; filename="a.jpg"', PHOTO)),
    "a preamble": b"This is a form.\r\n" + form((FILE, PHOTO)),
}


@pytest.mark.parametrize("how", ACCEPTED)
def test_a_form_that_others_write_is_taken(service: Service, how: str) -> None:
    answer = post(service, ACCEPTED[how])
    assert answer.status_code == 201, answer.text
    assert (answer.json()["width"], answer.json()["height"]) == (480, 600)


def test_with_lf_line_ends_contents_stay_as_they_are_however_they_arrive(service: Service) -> None:
    body = form((b'form-data; name="externalUserId"', b"ann"), (FILE, PHOTO + b"\n\n--\r\n\n--x\n-"), line_end=b"\n")

    def trickling() -> Any:
        yield from (body[at : at + 7] for at in range(0, len(body), 7))

    answer = post(service, trickling())
    assert answer.status_code == 201
    assert service.delete("/customers/ann").headers.get("x-images-erased", "1") == "1"


@pytest.mark.parametrize("boundary", ["a=b", "==x=y==", "----WebKitFormBoundary1", "a'()+_,-./:=?"])
def test_an_unquoted_boundary_may_hold_what_it_should_not(service: Service, boundary: str) -> None:
    body = form((FILE, PHOTO), boundary=boundary.encode())
    assert post(service, body, f"multipart/form-data; boundary={boundary}").status_code == 201
    assert post(service, body, f'Multipart/Form-Data; charset=utf-8; Boundary="{boundary}"').status_code == 201


def test_quotes_around_an_idempotency_key_are_not_part_of_it(service: Service) -> None:
    body = form((FILE, PHOTO))
    bare, quoted = (post(service, body, **{"idempotency-key": key}) for key in ("k-1", '"k-1"'))
    assert bare.json()["imageId"] == quoted.json()["imageId"]
    assert post(service, body, **{"idempotency-key": '""'}).json()["code"] == "VALIDATION_FAILED"


def message_of(answer: Any) -> str:
    return str(answer.json()["message"])


def test_who_sends_the_photo_by_another_name_is_told_which(service: Service) -> None:
    for name in ("image", "photo", "File", "file[]", "customerImage"):
        answer = service.client.post(UPLOAD, files={name: ("a.jpg", PHOTO)}, headers={"x-api-key": service.key})
        assert answer.json()["code"] == "FILE_REQUIRED"
        assert f'send the part "{name}" as "file"' in message_of(answer)


def test_the_parts_that_came_are_named(service: Service) -> None:
    answer = service.client.post(
        UPLOAD, files={"crop": (None, b"true"), "x\ny": (None, b"1")}, headers={"x-api-key": service.key}
    )
    assert "The parts were: crop, x" in message_of(answer)


@pytest.mark.parametrize(
    ("content_type", "said"),
    [
        ("application/json", "is JSON"),
        ("image/jpeg", "is a bare picture"),
        ("application/x-www-form-urlencoded", "cannot carry files"),
        ("multipart/form-data", "without a boundary"),
    ],
)
def test_a_body_that_is_no_form_is_named(service: Service, content_type: str, said: str) -> None:
    assert said in message_of(post(service, PHOTO, content_type))


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "is empty; send the photo as its part"),
        (form((FILE, PHOTO), boundary=b"another"), "does not hold the boundary that its Content-Type names"),
        (PHOTO, "does not hold the boundary"),
        (b'{"file": "photo.jpg"}', "does not hold the boundary"),
        (form((FILE, PHOTO))[:-4], "ends before its last boundary"),
    ],
)
def test_a_form_that_is_none_is_told_why(service: Service, body: bytes, said: str) -> None:
    assert said in message_of(post(service, body))


def test_json_may_begin_with_a_byte_order_mark_and_an_empty_body_is_called_empty(service: Service) -> None:
    url, headers = f"{API}/customers/erase", {"x-api-key": service.key, "content-type": "application/json"}
    mark = b"\xef\xbb\xbf"
    assert service.client.post(url, content=mark + b'{"customerId": "ann"}', headers=headers).status_code == 200
    for nothing in (b"", b" \n", mark):
        assert "is empty" in message_of(service.client.post(url, content=nothing, headers=headers))
    for form_in_place in (b"customerId=ann", form((FILE, b"ann"))):
        assert "is a form, and must be JSON" in message_of(
            service.client.post(url, content=form_in_place, headers=headers)
        )


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("keepfordays", "keepForDays"),
        ("keep_for_days", "keepForDays"),
        ("external_user_id", "externalUserId"),
        ("externalUserID", "externalUserId"),
        ("Crop", "crop"),
        ("customer_id", "externalUserId"),
    ],
)
def test_a_misspelled_field_is_answered_with_the_one_that_was_meant(service: Service, name: str, meant: str) -> None:
    warnings = {w["code"]: w["message"] for w in service.upload(None, **{name: "1"}).json()["warnings"]}
    assert f'"{name}"' in warnings["UNKNOWN_FIELD"]
    assert f'Did you mean "{meant}"?' in warnings["UNKNOWN_FIELD"]


def test_a_field_like_no_other_is_only_named(service: Service) -> None:
    warnings = {w["code"]: w["message"] for w in service.upload(utf8="x").json()["warnings"]}
    assert '"utf8"' in warnings["UNKNOWN_FIELD"]
    assert "Did you mean" not in warnings["UNKNOWN_FIELD"]


def test_a_refused_photo_names_its_input(service: Service) -> None:
    for photo in (b"", b"GIF89a....", PHOTO[:-400], bytes(11 * 1024 * 1024)):
        body = service.upload(photo).json()
        assert [problem["path"] for problem in body["details"]] == ["file"], body


def test_nothing_at_all_is_named(service: Service) -> None:
    answer = service.upload(b"")
    assert answer.json()["code"] == "INVALID_IMAGE"
    assert "0 bytes" in message_of(answer)


def test_what_came_in_place_of_a_photo_is_named(service: Service) -> None:
    answer = service.upload(b"[object Object]")
    assert answer.json()["code"] == "UNSUPPORTED_IMAGE_FORMAT"
    assert 'form.append("file", file)' in message_of(answer)


@pytest.mark.parametrize(
    "placeholder",
    [
        "undefined",
        "null",
        "NaN",
        "[object Object]",
        "{{customer.id}}",
        "${user.id}",
        "gid://shopify/Customer/undefined",
    ],
)
def test_nobody_is_called_undefined(service: Service, placeholder: str) -> None:
    body = service.upload(externalUserId=placeholder).json()
    assert (body["code"], body["details"][0]["path"]) == ("VALIDATION_FAILED", "externalUserId")
    assert "placeholder" in body["message"]


@pytest.mark.parametrize("out_of_reach", [".", "..", "/", "///", "a\nb", "a\x1b[0m"])
def test_an_id_that_no_erasure_could_reach_is_refused(service: Service, out_of_reach: str) -> None:
    assert service.upload(externalUserId=out_of_reach).json()["code"] == "VALIDATION_FAILED"


@pytest.mark.parametrize("id_", ["nullable", "undefined-behaviour", "Null", "NaN-cy", "a/../b", "ünï", "a b", "{x}"])
def test_an_id_that_only_looks_odd_is_somebody(service: Service, id_: str) -> None:
    assert service.upload(externalUserId=id_).status_code == 201


def test_a_try_on_without_its_json_is_told_which_parts_came(service: Service) -> None:
    files = {"shirt": ("a.jpg", PHOTO)}
    answer = service.client.post(f"{API}/try-on", files=files, headers={"x-api-key": service.key})
    assert "the parts were: shirt" in message_of(answer)
