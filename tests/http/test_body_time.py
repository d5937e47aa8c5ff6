"""JSON bodies of 256 KB, made to take long: none holds up the server, and none gets an answer as long as itself."""

import json
import time
from typing import Any

import pytest

from domain.errors import DomainError, ValidationFailed
from entrypoints.http.try_on_request import to_command, to_registration
from entrypoints.http.upload_form import MAX_PROBLEMS
from tests.builders import PSEUDONYMS, an_account

BYTES = 256 * 1024
MOST_SECONDS = 4
"""Of CPU, on a slow machine. What was found took 14 s for an eighth of the bytes."""


def full(item: str) -> str:
    return "[" + ",".join([item] * (BYTES // (len(item) + 1) - 50)) + "]"


def nested(opening: str, closing: str) -> str:
    depth = BYTES // (len(opening) + len(closing)) - 50
    return opening * depth + closing * depth


WRONG_IMAGE = '{"source":{"url":"x","id":1,"fileKey":[]},"url":2}'
SHAPES = {
    "images of zeros": '{{"products":[{{"images":{}}}]}}'.format(full("0")),
    "images of wrong sources": f'{{"products":[{{"images":{full(WRONG_IMAGE)}}}]}}',
    "products of nothing": '{{"products":{}}}'.format(full("{}")),
    "urls of nothing": '{{"product":{{"imageUrls":{}}}}}'.format(full('""')),
    "nested lists": '{{"products":{}}}'.format(nested("[", "]")),
    "nested objects": '{{"person":{}}}'.format(nested('{"image":', "}").replace(":}", ":0}", 1)),
    "many names": "{{{}}}".format(",".join(f'"n{number}":0' for number in range(BYTES // 11))),
    "a long number": '{"output":{"keepForDays":%s}}' % ("9" * (BYTES - 50)),
    "a long word": '{"externalUserId":"%s"}' % ("é" * (BYTES // 2 - 50)),
    "escapes": '{"productId":"%s"}' % ("\\u0041" * (BYTES // 6 - 50)),
}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("read", [to_command, to_registration])
def test_a_body_that_is_made_to_take_long_is_refused_at_once(read: Any, shape: str) -> None:
    body = SHAPES[shape].encode()
    began = time.process_time()
    with pytest.raises(DomainError) as refusal:
        read(body, {}, an_account(), None, PSEUDONYMS)
    assert time.process_time() - began < MOST_SECONDS
    if isinstance(refusal.value, ValidationFailed):
        assert len(refusal.value.problems) <= MAX_PROBLEMS
        assert len(json.dumps([problem.message for problem in refusal.value.problems])) < BYTES // 8
