"""Whatever the server accepts validates against the document: requests as clients send them, and nonsense."""

import json
from typing import Any

import jsonschema_rs
import msgspec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from domain.errors import DomainError
from entrypoints.http.pages import REFERENCE
from entrypoints.http.try_on_request import to_command, to_registration
from entrypoints.http.upload_form import Problems, UploadForm, ticket_terms
from tests.builders import PSEUDONYMS, an_account

COMPONENTS = msgspec.yaml.decode(REFERENCE.read_bytes())["components"]
ODD: st.SearchStrategy[Any] = st.sampled_from(
    [None, "", "x", "x" * 300, "a\0b", 0, 1, 3, 7, 3.0, True, False, [], {}, "undefined", [None], {"a": 1}]
)


def either(*good: Any) -> st.SearchStrategy[Any]:
    """Something that is meant for the field, seldom something odd."""
    return st.one_of(*(each if isinstance(each, st.SearchStrategy) else st.just(each) for each in good * 4), ODD)


def fields(**each: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({}, optional={name.replace("_", ""): value for name, value in each.items()})


URL = either("https://shop.test/a.jpg?v=1&w=2", "http://shop.test:8443/a%20b,c.jpg", "//cdn.test/a.jpg", "ftp://x/y")
SOURCE = st.one_of(
    fields(url=URL), fields(id=either("img_1")), fields(fileKey=either("f")), fields(url=URL, id=ODD, fileKey=ODD)
)
IMAGE = either(fields(source=either(SOURCE), url=ODD), SOURCE)
PRODUCT = fields(
    externalId=either("shirt-1"),
    productId=either("shirt-1"),
    title=either("Shirt", "mock"),
    description=either("Blue"),
    images=either(st.lists(IMAGE, max_size=9)),
    imageUrls=either(st.lists(URL, max_size=3)),
)
PERSON = either(fields(image=IMAGE), IMAGE)
OUTPUT = fields(keepForDays=either(1, 3, 7), retentionDays=either(3), watermark=either(True), aiLabel=either(False))
TRY_ON = fields(
    products=either(st.lists(PRODUCT, min_size=1, max_size=1)),
    product=either(PRODUCT),
    productId=either("shirt-1"),
    person=PERSON,
    customer=PERSON,
    customerImageId=either("img_1"),
    externalUserId=either("ann", "gid://shopify/Customer/1"),
    customerId=either("ann"),
    keepForDays=either(3),
    retentionDays=either(3),
    useWatermark=either(True),
    output=either(OUTPUT),
    unknown=ODD,
)
REGISTRATION = st.one_of(
    PRODUCT, st.builds(lambda product, days: {**product, "validForDays": days}, PRODUCT, either(1, 3650, 3651))
)
TICKET = fields(
    externalUserId=either("ann"),
    keepForDays=either(1, 3, 7),
    crop=either(True),
    fit=either("crop", "pad"),
    expiresInSeconds=either(60, 3600, 59),
)
FORM = fields(
    crop=either("true", "FALSE", "1", "0"),
    externalUserId=either("ann"),
    customerId=either("ann"),
    keepForDays=either("1", "3", "7"),
    retentionDays=either("3"),
    fit=either("crop", "pad"),
)
MANY = settings(
    max_examples=400, derandomize=True, database=None, deadline=None, suppress_health_check=list(HealthCheck)
)


def expect_documented(value: Any, *schemas: str) -> None:
    anyone = {"anyOf": [{"$ref": f"#/components/schemas/{name}"} for name in schemas], "components": COMPONENTS}
    jsonschema_rs.Draft202012Validator(anyone).validate(value)


class Accepted:
    """How many requests got through: a property that nothing meets says nothing."""

    number = 0


@MANY
@given(TRY_ON)
def test_try_ons(body: dict[str, Any]) -> None:
    try:
        to_command(json.dumps(body).encode(), {"f": b"x"}, an_account(), None, PSEUDONYMS)
    except DomainError:
        return
    Accepted.number += 1
    expect_documented(body, "StartTryOn", "EarlierStartTryOn")


@MANY
@given(REGISTRATION)
def test_registrations(body: dict[str, Any]) -> None:
    try:
        to_registration(json.dumps(body).encode(), {"f": b"x"}, an_account(), None, PSEUDONYMS)
    except DomainError:
        return
    Accepted.number += 1
    expect_documented(body, "RegisterProduct", "EarlierRegisterProduct")


@MANY
@given(TICKET)
def test_tickets(body: dict[str, Any]) -> None:
    problems = Problems()
    try:
        ticket_terms(body, problems)
        problems.expect_none()
    except DomainError:
        return
    Accepted.number += 1
    expect_documented({name: value for name, value in body.items() if value is not None}, "CreateUploadTicket")


@MANY
@given(FORM)
def test_upload_forms(form: dict[str, Any]) -> None:
    """Everything in a form is text; a number or a truth value is what the text spells."""
    sent = {name: value for name, value in form.items() if isinstance(value, str)}
    try:
        UploadForm(photo=b"x", fields={name: [value.encode()] for name, value in sent.items()}).to_command(
            an_account(), None, PSEUDONYMS
        )
    except DomainError:
        return
    Accepted.number += 1
    spelled = {name: _spelled(name, value) for name, value in sent.items() if value}
    expect_documented({"file": "", **spelled}, "UploadForm")


def is_documented_field(name: str, text: str) -> bool:
    """Of the form of an upload."""
    try:
        expect_documented({"file": "", name: _spelled(name, text)}, "UploadForm")
    except jsonschema_rs.ValidationError:
        return False
    return True


def _spelled(name: str, text: str) -> Any:
    if name == "crop":
        return {"true": True, "1": True, "false": False, "0": False}.get(text.lower(), text)
    return int(text) if name.endswith("Days") and text in {"1", "3", "7"} else text


def test_the_property_is_not_empty() -> None:
    before = Accepted.number
    for test in (test_try_ons, test_registrations, test_tickets, test_upload_forms):
        test()
        assert Accepted.number > before + 5, test
        before = Accepted.number
