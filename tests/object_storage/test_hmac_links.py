"""Links that the service signs itself, and what becomes of them while keys are rotated."""

import itertools
from datetime import timedelta
from urllib.parse import parse_qs, urlsplit

import pytest

from adapters.object_storage.hmac_links import HmacLinks
from domain.image import UploadedImage
from tests.builders import NOON, an_image

OLD, NEW, OTHER = b"o" * 32, b"n" * 32, b"x" * 32
BASE = "https://photos.test/previews"
LATER = NOON + timedelta(minutes=15)


async def signature(image: UploadedImage, *ring: bytes) -> str:
    url = await HmacLinks(BASE, ring).sign(image, LATER)
    return parse_qs(urlsplit(url).query)["signature"][0]


def accepts(image: UploadedImage, given: str, *ring: bytes) -> bool:
    expires = int(LATER.timestamp())
    return HmacLinks(BASE, ring).is_valid(image.image_id, image.account_id, expires, given, NOON)


async def test_a_rotation_over_replicas_ends_no_link() -> None:
    image = an_image()
    for before, after in itertools.pairwise([(OLD,), (OLD, NEW), (NEW, OLD)]):
        for signer, reader in ((before, after), (after, before)):  # both are in service during the rollout
            assert accepts(image, await signature(image, *signer), *reader)
    assert not accepts(image, await signature(image, OLD), NEW)


async def test_a_signature_names_its_key_and_tells_nothing_of_it() -> None:
    image = an_image()
    old, new = await signature(image, OLD), await signature(image, NEW)
    assert len({old.partition(".")[0], new.partition(".")[0]}) == 2
    assert (await signature(image, NEW, OLD)) == new


async def test_a_link_that_was_signed_before_there_were_rings_is_still_good() -> None:
    image = an_image()
    bare = (await signature(image, OLD)).partition(".")[2]
    assert accepts(image, bare, NEW, OLD)
    assert not accepts(image, bare, NEW)


@pytest.mark.parametrize("change", [".", "x", "unknown.", "é"])
async def test_a_signature_that_was_changed_is_refused(change: str) -> None:
    image = an_image()
    whole = await signature(image, OLD)
    for given in ("", change, change + whole, whole + change, whole[:-1]):
        assert not accepts(image, given, OLD, NEW)


async def test_another_keys_id_helps_nobody() -> None:
    image = an_image()
    forged = (await signature(image, OLD)).partition(".")[0] + "." + (await signature(image, OTHER)).partition(".")[2]
    assert not accepts(image, forged, OLD, NEW)
