"""`storage check` and `storage setup`: what would keep an erased photo, and what makes it go."""

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest
from click.testing import CliRunner

from adapters.object_storage.gcs import GcsLinks, GcsObjectStore
from adapters.object_storage.gcs_bucket import GcsBucket
from adapters.object_storage.gcs_rules import CORS, GcsStorageRules
from entrypoints.cli.main import main
from tests.object_storage.bucket_server import bucket_server, says
from tests.object_storage.emulator import fake_gcs_server

RIGHT: dict[str, Any] = {
    "softDeletePolicy": {"retentionDurationSeconds": "0"},
    "iamConfiguration": {"publicAccessPrevention": "enforced", "uniformBucketLevelAccess": {"enabled": True}},
}
UPDATE = "gcloud storage buckets update gs://photos"


def a_rule(age: int, *prefixes: str) -> dict[str, Any]:
    condition = {"age": age, "matchesPrefix": list(prefixes)} if prefixes else {"age": age}
    return {"action": {"type": "Delete"}, "condition": condition}


OURS = [
    a_rule(2, "shop/ttl-1d/"),
    a_rule(4, "shop/ttl-3d/"),
    a_rule(8, "shop/ttl-7d/"),
    a_rule(31, "shop/ttl-30d/"),
    a_rule(1, "shop/probes/"),
]


class Bucket:
    """A bucket, its settings, and the commands that look after it."""

    def __init__(self, host: str, settings: dict[str, Any]) -> None:
        self._settings = settings
        self._environment = {
            "STORAGE_EMULATOR_HOST": host,
            "TRYON_STORAGE_URL": "gs://photos/shop",
            "TRYON_PREVIEW_LINKS": "service",
            "TRYON_SIGNING_KEY": "k" * 32,
        }

    def set(self, **fields: Any) -> None:
        self._settings |= {**RIGHT, **fields}

    @property
    def rules(self) -> Any:
        return self._settings.get("lifecycle", {}).get("rule", [])

    def run(self, *arguments: str) -> tuple[int, Any]:
        done = CliRunner().invoke(main, ["storage", *arguments, "--json"], env=self._environment)
        return done.exit_code, json.loads(done.stdout)

    def fixes(self) -> dict[str, str]:
        """What `check` finds wrong, without the `bucket: ` before it."""
        return {
            finding["check"].removeprefix("bucket: "): finding["fix"]
            for finding in self.run("check")[1]
            if not finding["ok"]
        }


@pytest.fixture
def bucket() -> Iterator[Bucket]:
    with bucket_server() as (state, host):
        state.settings["softDeletePolicy"] = {"retentionDurationSeconds": "604800"}
        yield Bucket(host, state.settings)


def test_a_bucket_as_google_makes_it_would_keep_what_was_erased(bucket: Bucket) -> None:
    code, _ = bucket.run("check")
    assert code == 1
    assert bucket.fixes() == {
        "soft delete is off": f"{UPDATE} --clear-soft-delete",
        "no public access": f"{UPDATE} --public-access-prevention",
        "uniform access": f"{UPDATE} --uniform-bucket-level-access",
        "lifecycle rules": "tryon-images storage setup",
    }


def test_a_bucket_that_was_set_up_passes(bucket: Bucket) -> None:
    bucket.set()
    code, report = bucket.run("setup")
    assert (code, report["changed"], len(report["changes"])) == (0, True, 5)
    assert bucket.rules == OURS
    assert bucket.run("check")[0] == 0
    assert bucket.run("setup")[1] == {"changed": False, "changes": []}


@pytest.mark.parametrize(
    ("fields", "finding", "fix"),
    [
        ({"versioning": {"enabled": True}}, "versioning is off", f"{UPDATE} --no-versioning"),
        (
            {"retentionPolicy": {"retentionPeriod": "86400"}},
            "no retention policy",
            f"{UPDATE} --clear-retention-period",
        ),
        (
            {"retentionPolicy": {"retentionPeriod": "86400", "isLocked": True}},
            "no retention policy",
            "Use another bucket: a locked retention policy cannot be removed.",
        ),
        (
            {"logging": {"logBucket": "logs", "logObjectPrefix": "photos"}},
            "no access log",
            f"{UPDATE} --clear-log-bucket --clear-log-object-prefix: it keeps the names of objects that are gone",
        ),
        (
            {"storageClass": "NEARLINE"},
            "no minimum age",
            f"{UPDATE} --default-storage-class=STANDARD: NEARLINE bills a month or more for a day",
        ),
    ],
)
def test_each_finding_comes_with_its_fix(bucket: Bucket, fields: dict[str, Any], finding: str, fix: str) -> None:
    bucket.set(**{"lifecycle": {"rule": OURS}, **fields})
    assert bucket.fixes() == {finding: fix}


def on_any(action: dict[str, Any], **condition: Any) -> dict[str, Any]:
    return {"action": action, "condition": condition}


DELETE = {"type": "Delete"}
TO_COLDLINE = {"type": "SetStorageClass", "storageClass": "COLDLINE"}
EARLY = {
    "delete everything when age=1": a_rule(1),
    "delete shop/ttl- when age=3": a_rule(3, "shop/ttl-"),
    "delete shop/ttl-7d/img_a when age=7": a_rule(7, "shop/ttl-7d/img_a"),
    "delete everything when createdBefore=2026-12-01": on_any(DELETE, createdBefore="2026-12-01"),
    "delete everything when matchesStorageClass=['STANDARD']": on_any(DELETE, matchesStorageClass=["STANDARD"]),
    "delete everything when matchesSuffix=['.jpg']": on_any(DELETE, matchesSuffix=[".jpg"]),
    "delete everything when numNewerVersions=1": on_any(DELETE, numNewerVersions=1),
    "delete everything when daysSinceCustomTime=30": on_any(DELETE, daysSinceCustomTime=30),
    "delete everything when isLive=True": on_any(DELETE, isLive=True),
    "delete everything when any": on_any(DELETE),
    "delete shop/ttl-1d/ when age=1, createdBefore=2026-12-01": on_any(
        DELETE, age=1, createdBefore="2026-12-01", matchesPrefix=["shop/ttl-1d/"]
    ),
    "change the class of everything when age=2": on_any(TO_COLDLINE, age=2),
}
LATE = {
    "after every photo": a_rule(31),
    "after every photo, and more": on_any(DELETE, age=31, matchesStorageClass=["STANDARD"]),
    "another folder": a_rule(0, "logs/", "shop/ttl-7days/"),
    "a later day of one class": a_rule(9, "shop/ttl-7d/"),
    "old versions only": on_any(DELETE, isLive=False, numNewerVersions=1),
    "a class when no photo is left": on_any(TO_COLDLINE, age=60),
    "a class without a minimum age": on_any({"type": "SetStorageClass", "storageClass": "STANDARD"}, age=0),
    "unfinished uploads": on_any({"type": "AbortIncompleteMultipartUpload"}, age=1),
}


@pytest.mark.parametrize("words", EARLY)
def test_a_rule_that_may_act_on_a_living_photo_fails(bucket: Bucket, words: str) -> None:
    bucket.set(lifecycle={"rule": [*OURS, EARLY[words]]})
    assert bucket.fixes() == {"no rule acts on living photos": f"{UPDATE} --lifecycle-file=FILE without: {words}"}


@pytest.mark.parametrize("name", LATE)
def test_a_rule_that_is_late_enough_for_sure_passes(bucket: Bucket, name: str) -> None:
    bucket.set(lifecycle={"rule": [*OURS, LATE[name]]})
    assert bucket.fixes() == {}


def test_rules_of_others_are_left_alone_and_outdated_ones_of_ours_replaced(bucket: Bucket) -> None:
    others = [a_rule(30, "logs/"), a_rule(400)]
    bucket.set(lifecycle={"rule": [*others, a_rule(90, "shop/ttl-7d/")]})
    assert bucket.run("setup", "--dry-run")[1]["changed"] is False
    assert bucket.rules == [*others, a_rule(90, "shop/ttl-7d/")]
    code, report = bucket.run("setup")
    assert (code, report["changes"][0]) == (0, "remove: delete shop/ttl-7d/ when age=90")
    assert bucket.rules == [*others, *OURS]
    assert bucket.run("check")[0] == 0


def test_a_bucket_that_is_not_there_is_found_out(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(bucket._environment, "TRYON_STORAGE_URL", "gs://absent")
    assert bucket.fixes()["settings"].startswith("gcloud storage buckets create gs://absent ")
    done = CliRunner().invoke(main, ["storage", "setup"], env=bucket._environment)
    assert done.exit_code == 3
    assert "gcloud storage buckets create gs://absent" in done.stderr


def test_pages_may_read_what_storage_serves(monkeypatch: pytest.MonkeyPatch) -> None:
    with bucket_server() as (state, host):
        settings = state.settings
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", host)
        gcs = GcsBucket("gs://photos/shop")
        rules = GcsStorageRules(gcs, GcsObjectStore(gcs), GcsLinks(gcs))
        others = {"origin": ["https://shop.example"], "method": ["GET"]}
        settings["cors"] = [others]
        assert asyncio.run(fixes_of(rules))["pages may read links"] == "tryon-images storage setup"
        changes = asyncio.run(rules.setup(dry_run=False))
        assert changes[-1] == "add: let any page read what it has a signed link to (CORS)"
        assert settings["cors"] == [others, CORS]
        assert "pages may read links" not in asyncio.run(fixes_of(rules))
        assert asyncio.run(rules.setup(dry_run=False)) == ()


async def fixes_of(rules: GcsStorageRules) -> dict[str, str]:
    return {found.check.removeprefix("bucket: "): found.fix for found in await rules.check() if not found.is_ok}


def test_an_emulator_that_knows_no_settings_is_told_apart_from_an_outage() -> None:
    with fake_gcs_server("photos") as host:
        code, _ = Bucket(host, {}).run("check")
        fixes = Bucket(host, {}).fixes()
    assert code == 1
    assert "write and delete" not in fixes, "photos can be kept there all the same"
    assert fixes["lifecycle rules"] == "tryon-images storage setup"


@pytest.mark.parametrize("answer", [b"<html>Welcome</html>", b"[]", b"null", b"7"])
def test_an_answer_that_is_not_googles_is_a_finding_and_no_traceback(answer: bytes) -> None:
    with bucket_server() as (state, host):
        state.faults += [("GET /storage/v1/b/photos", says(200, answer))] * 3
        fix = Bucket(host, {}).fixes()["settings"]
    assert fix.startswith("The answer is not Google's (")
    assert "STORAGE_EMULATOR_HOST" in fix
