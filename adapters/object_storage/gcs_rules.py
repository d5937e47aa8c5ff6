"""The settings of a bucket: lifecycle rules as a second way for every photo to go, and nothing that keeps it longer."""

from collections.abc import Callable, Iterator
from typing import Any, Final

from google.api_core.exceptions import Forbidden, NotFound, PreconditionFailed, Unauthorized
from google.auth.exceptions import DefaultCredentialsError, TransportError
from google.cloud.storage import Bucket

from adapters.object_storage.gcs import PROBES, GcsObjectStore
from adapters.object_storage.gcs_bucket import ATTEMPT, RETRY, GcsBucket
from adapters.object_storage.gcs_links import CannotSign, GcsLinks
from application.ports.objects import StorageFinding
from domain.errors import Overloaded
from domain.retention import RetentionPolicy

Rule = dict[str, Any]
PERMISSIONS: Final = frozenset(f"storage.objects.{verb}" for verb in ("create", "delete", "get", "list"))
GRACE_DAYS: Final = 1
"""A rule acts on whole days, and a photo must not go before its last second: the purger is the one that is exact."""


class GcsStorageRules:
    """`links` is None when the service signs and serves its links itself."""

    def __init__(self, bucket: GcsBucket, objects: GcsObjectStore, links: GcsLinks | None) -> None:
        self._bucket = bucket
        self._objects = objects
        self._links = links
        self._url = f"gs://{bucket.address.bucket}"

    async def check(self) -> tuple[StorageFinding, ...]:
        findings = [await self._probe("bucket: write and delete", self._objects.check)]
        if self._links is not None:
            findings.append(await self._probe("bucket: sign links", self._links.check))
        try:
            findings += await self._bucket.call(lambda bucket: list(self._examine(bucket)))
        except Overloaded as error:
            findings.append(StorageFinding("bucket: settings", is_ok=False, fix=self._advice(error, "bucketViewer")))
        return tuple(findings)

    async def setup(self, *, dry_run: bool) -> tuple[str, ...]:
        try:
            return await self._bucket.call(lambda bucket: self._set_rules(bucket, dry_run=dry_run))
        except Overloaded as error:
            raise Overloaded(self._advice(error, "admin")) from error

    def _set_rules(self, bucket: Bucket, *, dry_run: bool) -> tuple[str, ...]:
        bucket.reload(timeout=ATTEMPT, retry=RETRY)
        there = [dict(rule) for rule in bucket.lifecycle_rules]
        wanted = wanted_rules(self._bucket.address.prefix)
        ours = {prefix for rule in wanted for prefix in _prefixes(rule)}
        outdated = [rule for rule in there if rule not in wanted and ours.issuperset(_prefixes(rule) or {""})]
        missing = [rule for rule in wanted if rule not in there]
        if (missing or outdated) and not dry_run:
            bucket.lifecycle_rules = [rule for rule in there if rule not in outdated] + missing
            # Somebody else's rules, set in this instant, are not lost: the condition then fails.
            bucket.patch(if_metageneration_match=bucket.metageneration, timeout=ATTEMPT, retry=RETRY)
        return tuple(
            [f"remove: {_in_words(rule)}" for rule in outdated] + [f"add: {_in_words(rule)}" for rule in missing]
        )

    def _examine(self, bucket: Bucket) -> Iterator[StorageFinding]:
        bucket.reload(timeout=ATTEMPT, retry=RETRY)
        update = f"gcloud storage buckets update {self._url}"
        access = bucket.iam_configuration
        yield _finding("soft delete is off", not _keeps_deleted(bucket), f"{update} --clear-soft-delete")
        yield _finding("versioning is off", not bucket.versioning_enabled, f"{update} --no-versioning")
        yield _finding(
            "no retention policy",
            bucket.retention_period is None,
            "Use another bucket: a locked retention policy cannot be removed."
            if bucket.retention_policy_locked
            else f"{update} --clear-retention-period",
        )
        yield _finding(
            "no default hold", not bucket.default_event_based_hold, f"{update} --no-default-event-based-hold"
        )
        yield _finding(
            "no object retention",
            bucket.object_retention_mode is None,
            "Use another bucket: object retention cannot be switched off again.",
        )
        yield _finding(
            "no public access", access.public_access_prevention == "enforced", f"{update} --public-access-prevention"
        )
        yield _finding(
            "uniform access",
            bool(access.uniform_bucket_level_access_enabled),
            f"{update} --uniform-bucket-level-access",
        )
        rules = [dict(rule) for rule in bucket.lifecycle_rules]
        wanted = wanted_rules(self._bucket.address.prefix)
        yield _finding("lifecycle rules", all(rule in rules for rule in wanted), "tryon-images storage setup")
        early = [rule for rule in rules if _acts_early(rule, wanted)]
        yield _finding(
            "no rule deletes photos early", not early, f"{update} --lifecycle-file=FILE without the early rule"
        )
        allowed = bucket.test_iam_permissions(sorted(PERMISSIONS), timeout=ATTEMPT, retry=RETRY)
        yield _finding("permissions", PERMISSIONS.issubset(allowed), self._grant("objectUser"))

    async def _probe(self, check: str, probe: Callable[[], Any]) -> StorageFinding:
        try:
            await probe()
        except Overloaded as error:
            return StorageFinding(check, is_ok=False, fix=self._advice(error, "objectUser"))
        return StorageFinding(check, is_ok=True)

    def _advice(self, error: Overloaded, role: str) -> str:
        """For the operator: what lies behind the little that a client is told."""
        match error.__cause__:
            case DefaultCredentialsError():
                advice = "On Google Cloud attach a service account; elsewhere: gcloud auth application-default login"
            case CannotSign():
                advice = "Use a service account, or set TRYON_PREVIEW_LINKS=service: a person cannot sign."
            case TransportError() as cause if "PERMISSION_DENIED" in str(cause):
                advice = (
                    "gcloud iam service-accounts add-iam-policy-binding EMAIL --member=serviceAccount:EMAIL "
                    "--role=roles/iam.serviceAccountTokenCreator"
                )
            case Forbidden() | Unauthorized():
                advice = self._grant(role)
            case NotFound():
                advice = (
                    f"gcloud storage buckets create {self._url} --soft-delete-duration=0 --uniform-bucket-level-access "
                    "--public-access-prevention"
                )
            case PreconditionFailed():
                advice = "Somebody else has just changed the bucket's settings. Run the command again."
            case cause:
                advice = f"It could not be reached ({type(cause).__name__}). Try again."
        return advice

    def _grant(self, role: str) -> str:
        return (
            f"gcloud storage buckets add-iam-policy-binding {self._url} --member=serviceAccount:EMAIL "
            f"--role=roles/storage.{role}"
        )


def wanted_rules(prefix: str) -> list[Rule]:
    """One for each retention class, by the first part of the objects' names, and one for stray probes."""
    ages = {f"{prefix}ttl-{days}d/": days + GRACE_DAYS for days in RetentionPolicy.ALL_DAYS}
    ages[prefix + PROBES] = GRACE_DAYS
    return [
        {"action": {"type": "Delete"}, "condition": {"age": age, "matchesPrefix": [name]}} for name, age in ages.items()
    ]


def _finding(check: str, is_ok: bool, fix: str) -> StorageFinding:
    return StorageFinding(f"bucket: {check}", is_ok, "" if is_ok else fix)


def _keeps_deleted(bucket: Bucket) -> bool:
    return int(bucket.soft_delete_policy.retention_duration_seconds or 0) > 0


def _prefixes(rule: Rule) -> set[str]:
    return set(rule["condition"].get("matchesPrefix", ()))


def _acts_early(rule: Rule, wanted: list[Rule]) -> bool:
    """Whether it deletes living photos before their own rule does."""
    condition = rule["condition"]
    if rule["action"]["type"] != "Delete" or "age" not in condition or condition.get("isLive") is False:
        return False
    prefixes = _prefixes(rule) or {""}
    return any(
        condition["age"] < ours["condition"]["age"]
        and (ours_prefix.startswith(prefix) or prefix.startswith(ours_prefix))
        for ours in wanted
        for ours_prefix in _prefixes(ours)
        for prefix in prefixes
    )


def _in_words(rule: Rule) -> str:
    prefixes = ", ".join(sorted(_prefixes(rule)))
    return f"{rule['action']['type'].lower()} {prefixes or 'everything'} after {rule['condition'].get('age')} days"
