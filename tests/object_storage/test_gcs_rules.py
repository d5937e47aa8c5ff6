"""`storage check` and `storage setup`: what would keep an erased photo, and what makes it go."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
import requests
from click.testing import CliRunner

from entrypoints.cli.main import main
from tests.object_storage.emulator import storage_emulator

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
    """A bucket of the emulator, and the commands that look after it."""

    def __init__(self, host: str) -> None:
        self._url = f"{host}/storage/v1/b/photos"
        self._environment = {
            "STORAGE_EMULATOR_HOST": host,
            "TRYON_STORAGE_URL": "gs://photos/shop",
            "TRYON_PREVIEW_LINKS": "service",
            "TRYON_SIGNING_KEY": "k" * 32,
        }

    def set(self, **fields: Any) -> None:
        requests.patch(self._url, json={**RIGHT, **fields}, timeout=5).raise_for_status()

    @property
    def rules(self) -> Any:
        return requests.get(self._url, timeout=5).json().get("lifecycle", {}).get("rule", [])

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
    with storage_emulator("photos") as host:
        yield Bucket(host)


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
            {"lifecycle": {"rule": [*OURS, a_rule(1)]}},
            "no rule deletes photos early",
            f"{UPDATE} --lifecycle-file=FILE without the early rule",
        ),
        (
            {"lifecycle": {"rule": [*OURS, a_rule(3, "shop/ttl-")]}},
            "no rule deletes photos early",
            f"{UPDATE} --lifecycle-file=FILE without the early rule",
        ),
    ],
)
def test_each_finding_comes_with_its_fix(bucket: Bucket, fields: dict[str, Any], finding: str, fix: str) -> None:
    bucket.set(**{"lifecycle": {"rule": OURS}, **fields})
    assert bucket.fixes() == {finding: fix}


def test_rules_of_others_are_left_alone_and_outdated_ones_of_ours_replaced(bucket: Bucket) -> None:
    others = [a_rule(30, "logs/"), a_rule(400)]
    bucket.set(lifecycle={"rule": [*others, a_rule(90, "shop/ttl-7d/")]})
    assert bucket.run("setup", "--dry-run")[1]["changed"] is False
    assert bucket.rules == [*others, a_rule(90, "shop/ttl-7d/")]
    code, report = bucket.run("setup")
    assert (code, report["changes"][0]) == (0, "remove: delete shop/ttl-7d/ after 90 days")
    assert bucket.rules == [*others, *OURS]
    assert bucket.run("check")[0] == 0


def test_a_bucket_that_is_not_there_is_found_out(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(bucket._environment, "TRYON_STORAGE_URL", "gs://absent")
    assert bucket.fixes()["settings"].startswith("gcloud storage buckets create gs://absent ")
    done = CliRunner().invoke(main, ["storage", "setup"], env=bucket._environment)
    assert done.exit_code == 3
    assert "gcloud storage buckets create gs://absent" in done.stderr
