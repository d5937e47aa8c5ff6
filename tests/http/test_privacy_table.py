"""The table of PRIVACY.md, line by line, on a service that keeps its rows and pictures in files."""

import asyncio
import hashlib
import io
import json
import re
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

import pytest
from litestar.testing import TestClient
from PIL import Image
from PIL.ExifTags import Base

from adapters.sql.schema import metadata
from application.authenticate import DEFAULT_ACCOUNT, Ticket
from domain.account import RetentionPolicy
from domain.generation import Generation
from domain.image import OBJECT_NAME
from domain.product import Product
from entrypoints.http.app import create_app
from entrypoints.wiring.container import Container
from entrypoints.wiring.settings import Settings
from tests.builders import MovableClock
from tests.http.conftest import API, account_with_key, an_in_process_processor
from tests.raw_files import files_with

PRIVACY: Final = (Path(__file__).parents[2] / "PRIVACY.md").read_text()
PERSON, KEY, CANARY = "canary-of-a-person", "canary-of-a-key", "canary-in-a-photo"


@dataclass(frozen=True)
class Line:
    """One line of the table."""

    datum: str
    where: str
    until: str

    @property
    def numbers(self) -> list[int]:
        return [int(number) for number in re.findall(r"\d+", self.until)]


TABLE = [
    Line(*(cell.strip() for cell in line.strip("|").split("|")))
    for line in PRIVACY.splitlines()
    if line.startswith("| ") and not line.startswith("| datum ")
]


@dataclass
class Shop:
    """A service on files, its clock, and a look at its rows and files."""

    settings: Settings
    client: TestClient[Any]
    key: str
    clock: MovableClock
    images: dict[str, str] = field(default_factory=dict)

    def post(self, path: str, idempotency_key: str | None = None, **request: Any) -> Any:
        headers = {"x-api-key": self.key} | ({"idempotency-key": idempotency_key} if idempotency_key else {})
        return self.client.post(API + path, headers=headers, **request)

    def get(self, path: str) -> int:
        return int(self.client.get(API + path, headers={"x-api-key": self.key}).status_code)

    def upload(self, idempotency_key: str | None = None, **fields: str) -> dict[str, Any]:
        answer = self.post("/images/upload", idempotency_key, files={"file": a_photo()}, data=fields)
        assert answer.status_code == 201, answer.text
        uploaded: dict[str, Any] = answer.json()
        return uploaded

    def try_on(self, idempotency_key: str | None = None, **more: Any) -> str:
        """A mock: answered with the person's picture."""
        person, garment = (self.upload()["imageId"] for _ in range(2))
        product = {"title": "mock", "images": [{"source": {"id": garment}}], **more}
        body = {"products": [product], "person": {"image": {"source": {"id": person}}}, "externalUserId": PERSON}
        answer = self.post("/try-on", idempotency_key, json=body)
        assert answer.status_code == 202, answer.text
        return str(answer.json()["generationId"])

    def erase(self, customer: str = PERSON) -> dict[str, Any]:
        erased: dict[str, Any] = self.post("/customers/erase", json={"customerId": customer}).json()
        return erased

    def run(self, use_case: Callable[[Container], Any]) -> Any:
        """In a process beside the server, as far as the database can tell."""

        async def execute() -> Any:
            container = a_container(self.settings, self.clock)
            try:
                return await use_case(container)
            finally:
                await container.engine().dispose()

        return asyncio.run(execute())

    def after(self, **time: float) -> None:
        """Some time passes, and the purge that the server would do by itself."""
        self.clock.advance(**time)
        self.run(lambda container: container.purge_overdue().execute())

    def rows(self, table: str) -> list[dict[str, Any]]:
        with closing(sqlite3.connect(self.settings.data_dir / "tryon.db")) as connection:
            connection.row_factory = sqlite3.Row
            return [dict(row) for row in connection.execute(f"SELECT * FROM {table}")]

    def pseudonym(self) -> str:
        pseudonyms = Container(settings=self.settings).pseudonyms()
        return str(pseudonyms.customer(self.rows("accounts")[0]["id"], PERSON).pseudonym)

    def objects(self) -> list[str]:
        folder = self.settings.storage_folder
        return sorted(str(path.relative_to(folder)) for path in folder.rglob("*.jpg"))

    def files_with(self, *canaries: str | bytes) -> list[str]:
        return files_with(self.settings.data_dir, *canaries)


def a_photo() -> bytes:
    exif, out = Image.Exif(), io.BytesIO()
    exif[Base.Artist] = CANARY
    Image.effect_noise((480, 600), 90).convert("RGB").save(out, "JPEG", exif=exif, comment=CANARY.encode())
    return out.getvalue()


def a_container(settings: Settings, clock: MovableClock) -> Container:
    return Container(settings=settings, clock=clock, processor=an_in_process_processor())


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    settings = Settings(data_dir=tmp_path / "data", public_url="http://photos.test", generations_at_once=0)
    clock = MovableClock()

    async def prepare() -> str:
        container = a_container(settings, clock)
        await container.migrator().upgrade()
        key = await account_with_key(container, DEFAULT_ACCOUNT)
        await container.engine().dispose()
        return key

    key = asyncio.run(prepare())
    with TestClient(create_app(a_container(settings, clock)), base_url="http://photos.test") as client:
        yield Shop(settings, client, key, clock)


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=None)


def since(clock: MovableClock, text: str) -> timedelta:
    """How far ahead an instant is that a row or an answer names."""
    return moment(text) - clock.now().replace(tzinfo=None)


# What holds each line: by the beginning of its datum, with the tables that it speaks of.

Check = Callable[[Shop, Line], None]
CHECKS: dict[str, Check] = {}
TABLES: set[str] = {"probes"}
"""In which no row ever stays."""


def holds(datum: str, *tables: str) -> Callable[[Check], Check]:
    def keep(check: Check) -> Check:
        CHECKS[datum] = check
        TABLES.update(tables)
        return check

    return keep


@holds("the uploaded file")
def uploaded_file(shop: Shop, line: Line) -> None:
    shop.upload()
    assert (line.until, shop.files_with(CANARY)) == ("the answer", [])


@holds("the picture that is made of it")
def picture(shop: Shop, line: Line) -> None:
    assert tuple(line.numbers) == RetentionPolicy.ALLOWED_DAYS
    assert ("about a minute" in line.until, shop.settings.purge_interval_seconds) == (True, 60)
    uploaded = [shop.upload(keepForDays=str(days))["imageId"] for days in line.numbers]
    assert [bool(OBJECT_NAME.fullmatch(name)) for name in shop.objects()] == [True] * 3
    with Image.open(shop.settings.storage_folder / shop.objects()[0]) as kept:
        assert (dict(kept.getexif()), kept.info.get("comment")) == ({}, None)
    for days, image_id in zip(line.numbers, uploaded, strict=True):
        shop.clock.time = datetime.fromisoformat("2026-11-22T12:00:00Z") + timedelta(days=days, seconds=-1)
        assert shop.get(f"/images/{image_id}") == 200
        shop.after(seconds=1)
        assert shop.get(f"/images/{image_id}") == 404
        assert not any(image_id in name for name in shop.objects())


@holds("facts about it", "images")
def facts(shop: Shop, line: Line) -> None:
    shop.upload(keepForDays="1")
    kept = json.loads(shop.rows("images")[0]["photo"])
    assert {"size", "source_format", "person", "warnings"} <= kept.keys()
    assert line.until == "the same"
    shop.after(days=1)
    assert shop.rows("images") == []


@holds("the end user's external id", "images", "generations", "idempotency_keys")
def external_id(shop: Shop, line: Line) -> None:
    shop.upload(externalUserId=PERSON)
    shop.try_on(KEY)
    for table in ("images", "generations", "idempotency_keys"):
        assert shop.pseudonym() in [row["customer_id"] for row in shop.rows(table)], table
    assert (line.where.startswith("nowhere. "), shop.files_with(PERSON)) == (True, [])
    shop.erase()
    assert shop.files_with(PERSON, shop.pseudonym()) == []


@holds("the `Idempotency-Key`", "images", "idempotency_keys")
def idempotency_key(shop: Shop, line: Line) -> None:
    first = shop.upload(KEY, externalUserId=PERSON)["imageId"]
    shop.try_on(f"{KEY}-of-a-try-on")
    unkeyed = hashlib.sha256(KEY.encode()).digest()
    assert (line.where.startswith("nowhere. "), shop.files_with(KEY, unkeyed)) == (True, [])
    assert set(line.numbers) == {24}
    assert [since(shop.clock, row["due_at"]) for row in shop.rows("idempotency_keys")] == [timedelta(hours=24)]
    kept = next(row["key_digest"] for row in shop.rows("images") if row["id"] == first)
    shop.after(hours=24)
    assert shop.rows("idempotency_keys") == []
    assert shop.files_with(kept)
    shop.erase()
    assert shop.files_with(kept) == []


@holds("what stops uploads in flight", "tombstones")
def marker(shop: Shop, line: Line) -> None:
    shop.erase()
    (stone,) = shop.rows("tombstones")
    hours, minutes = line.numbers
    said = timedelta(hours=hours, minutes=minutes)
    assert since(shop.clock, stone["expires_at"]) == shop.settings.longest_upload
    assert said - timedelta(minutes=1) < shop.settings.longest_upload <= said
    assert stone["digest"] == hashlib.sha256(stone["salt"] + shop.pseudonym().encode()).digest()
    shop.after(hours=hours, minutes=minutes)
    assert shop.rows("tombstones") == []


@holds("record of an erasure", "erasures")
def record(shop: Shop, line: Line) -> None:
    shop.upload(externalUserId=PERSON)
    shop.erase()
    shop.erase("nobody")
    assert shop.rows("erasures")[0].keys() == {"id", "account_id", "requested_at", "completed_at", "image_count"}
    (days,) = line.numbers
    shop.after(days=days, seconds=-1)
    assert len(shop.rows("erasures")) == 2
    shop.after(seconds=1)
    shop.after(days=3650)
    assert [row["image_count"] for row in shop.rows("erasures")] == [1]


@holds("ids of erased images", "erased_images")
def erased_ids(shop: Shop, line: Line) -> None:
    shop.upload(externalUserId=PERSON)
    shop.erase()
    (erased,) = shop.rows("erased_images")
    assert [since(shop.clock, erased["forget_at"]).days] == line.numbers == [shop.settings.backup_retention_days]
    shop.after(days=line.numbers[0])
    assert shop.rows("erased_images") == []


@holds("a try-on that has ended", "generations")
def ended_try_on(shop: Shop, line: Line) -> None:
    shop.try_on()
    shop.run(lambda container: container.run_next_generation().execute())
    (ended,) = shop.rows("generations")
    assert (ended["status"], ended["customer_id"], ended["person_image_id"]) == ("COMPLETED", None, None)
    assert (ended["garment_image_ids"], line.numbers) == (None, [Generation.KEPT_FOR.days])
    shop.after(days=line.numbers[0])
    assert shop.rows("generations") == []


@holds("a product", "products", "images")
def product(shop: Shop, line: Line) -> None:
    assert [life.days for life in (Product.IDLE_LIFETIME, Product.ONE_SHOT_LIFETIME)] == line.numbers
    shop.try_on(externalId="shirt")
    shop.try_on()
    garment = {"images": [{"source": {"id": shop.upload()["imageId"]}}]}
    assert shop.post("/products", json={"externalId": "registered", **garment}).status_code == 201
    assert any(name.startswith("ttl-30d/") for name in shop.objects())
    for days, left in ((7, {"shirt", "registered"}), (8, {"registered"}), (300, {"registered"})):
        shop.after(days=days)
        assert {row["external_id"] for row in shop.rows("products")} == left
    assert shop.client.delete(f"{API}/products/registered", headers={"x-api-key": shop.key}).status_code == 204
    assert shop.rows("products") == []


@holds("an upload ticket", "idempotency_keys")
def ticket(shop: Shop, line: Line) -> None:
    made = shop.post("/upload-tickets", json={"externalUserId": PERSON, "expiresInSeconds": 3600}).json()["ticket"]
    assert shop.rows("idempotency_keys") == []
    bearer = {"authorization": f"Bearer {made}"}
    assert shop.client.post(f"{API}/images/check", headers=bearer, files={"file": a_photo()}).status_code == 200
    assert shop.files_with(PERSON, made[-20:]) == []
    assert [timedelta(hours=number) for number in line.numbers] == [Ticket.LONGEST]
    shop.after(hours=1)
    assert shop.rows("idempotency_keys") == []


@holds("links")
def links(shop: Shop, line: Line) -> None:
    minutes, hours = line.numbers
    uploaded = shop.upload(keepForDays="1")
    assert since(shop.clock, uploaded["imageUrlExpiresAt"]) == timedelta(minutes=minutes)
    assert timedelta(seconds=shop.settings.result_url_ttl_seconds) == timedelta(hours=hours)
    assert shop.files_with(uploaded["imageUrl"][-20:]) == []
    shop.clock.advance(hours=23, minutes=59)
    fresh = shop.client.get(f"{API}/images/{uploaded['imageId']}", headers={"x-api-key": shop.key}).json()
    assert fresh["imageUrlExpiresAt"] == uploaded["expiresAt"]
    assert shop.client.get(fresh["imageUrl"]).status_code == 200
    shop.clock.advance(minutes=1)
    assert shop.client.get(fresh["imageUrl"]).status_code == 404


@holds("the merchant's account", "accounts", "api_keys")
def account(shop: Shop, line: Line) -> None:
    (key,) = shop.rows("api_keys")
    assert (key["digest"], shop.files_with(shop.key)) == (hashlib.sha256(shop.key.encode()).digest(), [])
    assert line.until == "the operator ends it"
    shop.run(lambda container: container.delete_account().execute(DEFAULT_ACCOUNT))
    assert shop.get("/account/credits") == 401


@holds("how often an account asked", "rate_buckets")
def rates(_: Shop, line: Line) -> None:
    assert line.until == "overwritten with the next request"
    assert metadata.tables["rate_buckets"].columns.keys() == ["account_id", "bucket", "full_at_us"]


@holds("audit log", "audit_log")
def audit_log(shop: Shop, line: Line) -> None:
    shop.upload(externalUserId=PERSON)
    shop.erase()
    written = shop.rows("audit_log")
    assert [entry for entry in written if PERSON in str(entry) or shop.pseudonym() in str(entry)] == []
    assert line.until.startswith("the operator removes it")
    shop.after(days=3650)
    assert [entry for entry in shop.rows("audit_log") if entry in written] == written != []


@holds("log lines, metrics, traces")
def logs(shop: Shop, line: Line) -> None:
    shop.upload(externalUserId=PERSON)
    written = {path.name for path in shop.settings.data_dir.rglob("*") if path.is_file() and path.suffix != ".jpg"}
    assert written <= {"tryon.db", "tryon.db-wal", "tryon.db-shm", "signing.key", "pseudonym.key", "clock.json"} | MARKS
    assert "no file of ours" in line.where


MARKS: Final = {".tryon-images", "reserve"}
"""Of the folder itself, and room on its disk."""


def check_of(line: Line) -> Check:
    (found,) = [check for datum, check in CHECKS.items() if line.datum.startswith(datum)]
    return found


@pytest.mark.parametrize("line", TABLE, ids=lambda line: line.datum[:40])
def test_the_service_keeps_what_the_table_says_where_and_as_long_as_it_says(shop: Shop, line: Line) -> None:
    check_of(line)(shop, line)


def test_each_line_has_one_check_and_each_check_its_line() -> None:
    assert len(TABLE) == len(CHECKS) == len({check_of(line) for line in TABLE})


def test_the_table_speaks_of_every_table_of_the_database() -> None:
    assert set(metadata.tables) == TABLES
