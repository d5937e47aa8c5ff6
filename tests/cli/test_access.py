"""Access by a person to all that is held of them, as numbers and as an archive."""

import json
import re
import stat
import zipfile
from html.parser import HTMLParser
from pathlib import Path

import pytest

from tests.cli.shop import PERSON, Shop


def id_in(object_name: str) -> str:
    return Path(object_name).stem


class Links(HTMLParser):
    """All that a page would load or lead to, and the names of its tags."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: set[str] = set()
        self.tags: set[str] = set()
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.found |= {value or "" for name, value in attrs if name in {"src", "href", "srcset", "action", "data"}}


def test_the_archive_holds_every_picture_result_and_date(shop: Shop, tmp_path: Path) -> None:
    first, second = shop.upload(b"one photo", b"another photo")
    shop.try_on(id_in(first))
    told = shop.json("customers", "export", PERSON, "-o", str(tmp_path / "case.zip"))
    assert told["pictures"] == 3
    assert stat.S_IMODE((tmp_path / "case.zip").stat().st_mode) == 0o600
    with zipfile.ZipFile(tmp_path / "case.zip") as archive:
        assert archive.testzip() is None
        facts = json.loads(archive.read("data.json"))
        pictures = {image["imageId"]: archive.read(image["file"]) for image in facts["images"]}
        page = archive.read("index.html").decode()
        names = set(archive.namelist())
    (result,) = [image["imageId"] for image in facts["images"] if image["kind"] == "result of a try-on"]
    assert pictures == {id_in(first): b"one photo", id_in(second): b"another photo", result: b"one photo"}
    assert [each["resultImageId"] for each in facts["tryOns"]] == [result]
    assert facts["customerId"] == PERSON
    assert all(image["expiresAt"] > image["createdAt"] for image in facts["images"])
    assert [image["source"]["format"] for image in facts["images"] if image["kind"] == "photo"] == ["HEIC", "HEIC"]
    links = Links(page)
    assert links.found == names - {"index.html"}
    assert links.tags.isdisjoint({"script", "link", "iframe", "base", "object"})
    assert not re.search(r"url\(|@import|//", page)


def test_the_numbers_are_those_of_the_archive(shop: Shop) -> None:
    first, _ = shop.upload(b"one photo", b"another photo")
    shop.try_on(id_in(first))
    held = shop.json("customers", "show", PERSON)
    assert (held["photos"], held["results"], held["tryOns"], held["rows"]) == (2, 1, 1, 3)
    assert held["firstExpiresAt"] <= held["lastExpiresAt"]
    piped = shop.run("customers", "show", "--json", input=PERSON + "\n")
    assert json.loads(piped.stdout) == held


def test_after_an_erasure_there_is_nothing_to_hand_out(shop: Shop, tmp_path: Path) -> None:
    (name,) = shop.upload(b"one photo")
    shop.try_on(id_in(name))
    shop.json("customers", "erase", PERSON, "--yes")
    held = shop.json("customers", "show", PERSON)
    assert (held["photos"], held["results"], held["tryOns"], held["rows"]) == (0, 0, 0, 0)
    assert held["erasureMarkedUntil"] is not None
    shop.json("customers", "export", PERSON, "-o", str(tmp_path / "nobody.zip"))
    with zipfile.ZipFile(tmp_path / "nobody.zip") as archive:
        assert sorted(archive.namelist()) == ["data.json", "index.html"]


def test_somebody_elses_pictures_stay_where_they_are(shop: Shop, tmp_path: Path) -> None:
    shop.upload(b"one photo")
    shop.json("customers", "export", "somebody else", "-o", str(tmp_path / "else.zip"))
    with zipfile.ZipFile(tmp_path / "else.zip") as archive:
        assert json.loads(archive.read("data.json"))["images"] == []


@pytest.mark.parametrize("name", ["there.zip", "no-such-folder/case.zip"])
def test_no_half_archive_is_left_and_none_is_replaced(shop: Shop, tmp_path: Path, name: str) -> None:
    shop.upload(b"one photo")
    (tmp_path / "there.zip").write_bytes(b"an older archive")
    assert shop.run("customers", "export", PERSON, "-o", str(tmp_path / name)).exit_code == 2
    unknown = shop.run("customers", "export", PERSON, "--account", "no-such", "-o", str(tmp_path / "case.zip"))
    assert unknown.exit_code == 1
    assert sorted(path.name for path in tmp_path.iterdir() if "zip" in path.name) == ["there.zip"]
    assert (tmp_path / "there.zip").read_bytes() == b"an older archive"
