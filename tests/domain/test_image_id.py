"""Texts that can be the id of an image."""

import pytest

from adapters.system import SystemRandomSource
from domain.image import is_id


def test_every_id_that_is_given_out_is_one() -> None:
    random = SystemRandomSource()
    assert all(is_id(random.image_id()) for _ in range(1000))


@pytest.mark.parametrize("text", ["", "img_\0", "img_\udcff", "img_1\n", "a/b", "..", "x" * 65, "ïmg"])
def test_what_no_database_should_be_asked_for_is_none(text: str) -> None:
    assert not is_id(text)
