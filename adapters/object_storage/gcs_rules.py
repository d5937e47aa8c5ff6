"""The settings of a bucket: lifecycle rules as a second way for every photo to go, and nothing that keeps it longer."""

from collections.abc import Callable, Iterator
from typing import Any, Final

from google.api_core.exceptions import Forbidden, NotFound, PreconditionFailed, Unauthorized
from google.auth.exceptions import DefaultCredentialsError, TransportError
from google.cloud.storage import Bucket

from adapters.object_storage.gcs import PROBES, CannotSign, GcsLinks, GcsObjectStore
from adapters.object_storage.gcs_bucket import ATTEMPT, RETRY, Cause, GcsBucket
from application.ports.objects import StorageFinding
from domain.account import RetentionPolicy
from domain.errors import Overloaded

Rule = dict[str, Any]
CORS: Final[Rule] = {
    "origin": ["*"],
    "method": ["GET", "HEAD"],
    "responseHeader": ["Content-Type", "Content-Length"],
    "maxAgeSeconds": 3600,
}
"""A signed link is a capability: a page may draw, read and share what it was given a link to."""
MINIMUM_AGES: Final = frozenset({"NEARLINE", "COLDLINE", "ARCHIVE"})
"""Storage classes that are billed for 30 to 365 days, whenever the photo goes (Cloud Storage, "Storage classes")."""
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
        return (*findings, await self._permissions())

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
        needs_cors = self._links is not None and not _lets_pages_read(bucket)
        if missing or outdated:
            bucket.lifecycle_rules = [rule for rule in there if rule not in outdated] + missing
        if needs_cors:
            bucket.cors = [*bucket.cors, CORS]
        if (missing or outdated or needs_cors) and not dry_run:
            # Somebody else's rules, set in this instant, are not lost: the condition then fails.
            bucket.patch(if_metageneration_match=bucket.metageneration, timeout=ATTEMPT, retry=RETRY)
        return (
            *(f"remove: {_in_words(rule)}" for rule in outdated),
            *(f"add: {_in_words(rule)}" for rule in missing),
            *(["add: let any page read what it has a signed link to (CORS)"] if needs_cors else []),
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
        yield _finding(
            "no access log",
            bucket.get_logging() is None,
            f"{update} --clear-log-bucket --clear-log-object-prefix: it keeps the names of objects that are gone",
        )
        yield _finding(
            "no minimum age",
            bucket.storage_class not in MINIMUM_AGES,
            f"{update} --default-storage-class=STANDARD: {bucket.storage_class} bills a month or more for a day",
        )
        yield from self._examine_rules([dict(rule) for rule in bucket.lifecycle_rules], update)
        if self._links is not None:
            yield _finding("pages may read links", _lets_pages_read(bucket), "tryon-images storage setup")

    def _examine_rules(self, rules: list[Rule], update: str) -> Iterator[StorageFinding]:
        wanted = wanted_rules(self._bucket.address.prefix)
        yield _finding("lifecycle rules", all(rule in rules for rule in wanted), "tryon-images storage setup")
        early = [_in_words(rule) for rule in rules if _may_act_early(rule, self._bucket.address.prefix)]
        yield _finding(
            "no rule acts on living photos",
            not early,
            f"{update} --lifecycle-file=FILE without: {'; '.join(early)}",
        )

    async def _permissions(self) -> StorageFinding:
        try:
            allowed = await self._bucket.call(
                lambda bucket: bucket.test_iam_permissions(sorted(PERMISSIONS), timeout=ATTEMPT, retry=RETRY)
            )
        except Overloaded as error:
            return StorageFinding("bucket: permissions", is_ok=False, fix=self._advice(error, "objectUser"))
        return _finding("permissions", PERMISSIONS.issubset(allowed), self._grant("objectUser"))

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
                advice = _in_other_cases(error.cause, type(cause).__name__)
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


def _may_act_early(rule: Rule, prefix: str) -> bool:
    """Whether it may delete a photo, or bill it for a month, before the photo's own time is over.

    All conditions of a rule have to hold, so one age that is late enough makes it late, whatever else it asks for. Any
    other condition may hold for a photo of today: a date, a storage class, a suffix, a number of versions.
    """
    condition = rule["condition"]
    if not _takes_photos(rule["action"]) or condition.get("isLive") is False:
        return False
    age = condition.get("age", 0)
    prefixes = _prefixes(rule) or {""}
    return any(
        age <= days and any(ours.startswith(given) or given.startswith(ours) for given in prefixes)
        for days in RetentionPolicy.ALL_DAYS
        for ours in [f"{prefix}ttl-{days}d/"]
    )


def _takes_photos(action: Rule) -> bool:
    return action["type"] == "Delete" or action.get("storageClass") in MINIMUM_AGES


def _lets_pages_read(bucket: Bucket) -> bool:
    return any(
        "*" in entry.get("origin", ()) and {"GET", "HEAD"} <= set(entry.get("method", ())) for entry in bucket.cors
    )


def _in_other_cases(cause: str, error: str) -> str:
    match cause:
        case Cause.UNREADABLE | Cause.NOT_IMPLEMENTED:
            return (
                f"The answer is not Google's ({error}). Is STORAGE_EMULATOR_HOST set, or a proxy in between? "
                "An emulator shows no settings and proves nothing."
            )
        case Cause.TIMEOUT:
            return f"It did not answer in time ({error}). Try again; is a firewall in between?"
        case Cause.UNREACHABLE:
            return f"Nobody answers there ({error}). Check the network, DNS, and STORAGE_EMULATOR_HOST."
    return f"It could not be used: {cause} ({error}). Try again."


def _in_words(rule: Rule) -> str:
    """`delete shop/ when age=3, createdBefore=2026-01-01`."""
    conditions = {name: value for name, value in rule["condition"].items() if name != "matchesPrefix"}
    verb = {"Delete": "delete", "SetStorageClass": "change the class of"}.get(rule["action"]["type"], "touch")
    shown = ", ".join(f"{name}={value}" for name, value in conditions.items()) or "any"
    return f"{verb} {', '.join(sorted(_prefixes(rule))) or 'everything'} when {shown}"
