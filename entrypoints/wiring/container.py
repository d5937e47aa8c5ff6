"""The container: the adapter of each port, as the settings choose it, and the use cases made of them.

What only a bucket or an engine needs is imported late.
"""

import os
import secrets
from collections.abc import Callable, Mapping
from dataclasses import fields
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast

from dependency_injector import providers
from dependency_injector.containers import DeclarativeContainer
from sqlalchemy.ext.asyncio import AsyncEngine

from adapters.object_storage.folder import FolderObjectStore
from adapters.object_storage.hmac_links import HmacLinks
from adapters.sandbox import system
from adapters.sql.migrate import MIGRATION_SECONDS, Migrator
from adapters.sql.unit_of_work import DatabaseClock, SqlRateLimiter, SqlUnitOfWork, create_engine
from adapters.system import (
    LocalDiskReserve,
    LocalFiles,
    ProcessRateLimiter,
    SystemClock,
    SystemRandomSource,
    WallClockJumps,
)
from adapters.telemetry.exposition import Telemetry, Traces
from adapters.telemetry.measured_ports import (
    MeasuredObjectStore,
    MeasuredReserve,
    MeasuredUnitOfWork,
    NotedPhotoProcessor,
)
from adapters.telemetry.metrics import AccountMeter
from adapters.url_fetcher import UrlFetcher
from application.answer_once import AnswerOnce
from application.audit import NoteInAudit, ReadAudit
from application.authenticate import Authenticate, PagePass, UploadTickets
from application.check_readiness import CheckReadiness
from application.customer_holdings import ReadHoldings, VerifyErasure
from application.delete_images import DeleteImage, FinishDeletion, PurgeOverdue, TrustedTime
from application.erase_customer import EraseCustomer, ListErasures, ReadErasure, ReplayErasure
from application.fair_shares import BodyMemory, FairTurns, LimitRate
from application.generations import ReadGeneration, RunNextGeneration
from application.keep_picture import CopyPicture, KeepPicture
from application.keep_product import KeepProduct
from application.manage_accounts import (
    ChangeAccount,
    CreateAccount,
    CreateKey,
    DeleteAccount,
    ListAccounts,
    RevokeKey,
    RotateKey,
    SetCredits,
)
from application.ports.objects import ObjectStore, StorageRules
from application.ports.photos import PhotoProcessor
from application.ports.rows import UnitOfWork
from application.ports.system import Clock, RateLimiter
from application.ports.try_on import TryOnEngine
from application.products import DeleteProduct, ReadProducts, RegisterProduct, RenewProducts
from application.read_image import OpenImage, OpenPreview, OpenSource, PreviewLinks, ReadImage, ResolveImage
from application.reconcile import Reconcile
from application.start_try_on import StartTryOn
from application.upload_photo import CheckPhoto, UploadPhoto
from domain.account import digest_of_key
from entrypoints.wiring.environment import are_traces_wanted
from entrypoints.wiring.keys import pseudonyms, receipt_keys, signing_ring
from entrypoints.wiring.photo_processing import build_processor
from entrypoints.wiring.settings import PREVIEWS_PATH, Settings
from entrypoints.wiring.surroundings import raw_places

if TYPE_CHECKING:
    from adapters.object_storage.gcs import GcsLinks, GcsObjectStore
    from adapters.object_storage.gcs_rules import GcsStorageRules
    from adapters.try_on.predict_engine import Authorize

T = TypeVar("T")
MOST_UPLOAD_MEMORY_BYTES: Final = 640 * 1024 * 1024
"""A hundred and sixty phones at once; the whole service then stays under 1.4 GB, whatever the machine has."""


def _dev_key_digest(settings: Settings) -> bytes | None:
    return digest_of_key(settings.dev_api_key) if settings.dev_api_key else None


def _traces() -> Traces | None:
    return Traces() if are_traces_wanted(os.environ) else None


def _page_pass(settings: Settings, clock: Clock) -> PagePass | None:
    """Only where nobody but this machine can use one."""
    return PagePass(signing_ring(settings)[0], clock) if settings.shows_playground and settings.is_local else None


def _rate_limiter(settings: Settings, engine: Callable[[], AsyncEngine], clock: Clock) -> RateLimiter:
    """One process of one machine can count by itself; several have to agree, by way of what they share."""
    if settings.serves_alone:
        return ProcessRateLimiter()
    return SqlRateLimiter(engine(), clock)


def _disk_reserve(settings: Settings) -> LocalDiskReserve:
    """Of the folders that grow; PostgreSQL and buckets have disks of their own."""
    folders = [settings.storage_folder] if settings.keeps_files else []
    if settings.database_file is not None:
        folders.append(settings.database_file.parent)
    return LocalDiskReserve(folders, settings.disk_reserve_mb * 1024 * 1024)


def _body_memory(settings: Settings) -> BodyMemory:
    """The share of one server process; three of the largest files may come in one form of a try-on."""
    given = settings.upload_memory_mb
    usual_bytes = min(system.usable_memory_bytes() // 4, MOST_UPLOAD_MEMORY_BYTES)
    total_bytes = usual_bytes if given is None else given * 1024 * 1024
    return BodyMemory(settings.share(total_bytes), settings.largest_try_on_bytes)


def _use_case(providers_by_name: Mapping[str, Any], kind: type[T], **given: Any) -> providers.Factory[T]:
    """A use case: each of its fields comes out of the provider of that name, unless it is `given` or has a default."""
    names = (field.name for field in fields(cast("Any", kind)))
    found = {name: providers_by_name[name] for name in names if name in providers_by_name}
    return providers.Factory(kind, **found | given)


class Storage:
    """The storage adapters of one process; those of a bucket share its threads and connections."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._bucket = None if settings.keeps_files else _of_bucket(settings)

    def objects(self, work: UnitOfWork) -> ObjectStore:
        if self._bucket is None:
            return FolderObjectStore(self._settings.storage_folder, partial(_has_kept_nothing, work))
        return self._bucket[0]

    def own_links(self) -> HmacLinks:
        """Links to our own preview route. Where a bucket serves them there is none, and no key that could be kept."""
        ring = signing_ring(self._settings) if self._settings.serves_previews else (secrets.token_bytes(32),)
        return HmacLinks(self._settings.base_url + PREVIEWS_PATH, ring)

    def links(self) -> "HmacLinks | GcsLinks":
        """Whatever signs them, it also knows them again."""
        return self.own_links() if self._bucket is None or self._settings.serves_previews else self._bucket[1]

    def rules(self) -> StorageRules | None:
        """None for a folder, which has none: what is deleted there is gone."""
        return None if self._bucket is None else self._bucket[2]


def _of_bucket(settings: Settings) -> "tuple[GcsObjectStore, GcsLinks, GcsStorageRules]":
    from adapters.object_storage.gcs import GcsLinks, GcsObjectStore  # noqa: PLC0415 - as said
    from adapters.object_storage.gcs_bucket import GcsBucket  # noqa: PLC0415
    from adapters.object_storage.gcs_rules import GcsStorageRules  # noqa: PLC0415

    bucket = GcsBucket(str(settings.storage_url))
    objects, links = GcsObjectStore(bucket), GcsLinks(bucket)
    return objects, links, GcsStorageRules(bucket, objects, None if settings.serves_previews else links)


async def _has_kept_nothing(work: UnitOfWork) -> bool:
    async with work.read() as repositories:
        return not await repositories.images.has_kept()


def build_engine(settings: Settings, processor: PhotoProcessor) -> TryOnEngine:
    """Nothing is started or connected to before the first try-on."""
    if settings.engine == "sandbox":
        from adapters.try_on.sandbox_engine import SandboxEngine  # noqa: PLC0415 - Pillow, which only this one needs

        return SandboxEngine()
    from adapters.try_on.predict_engine import PredictEngine  # noqa: PLC0415 - as said

    url, authorize = _address(settings)
    seconds = settings.engine_timeout_seconds
    return PredictEngine(settings.engine, url, authorize=authorize, processor=processor, seconds=seconds)


async def probe_engine(settings: Settings) -> str:
    """Whether the engine can be reached, without a picture. Raises: Overloaded, with what to look at."""
    if settings.engine == "sandbox":
        return "sandbox: no model is connected"
    from adapters.try_on.predict_engine import probe  # noqa: PLC0415 - as said

    return await probe(*_address(settings))


def _address(settings: Settings) -> "tuple[str, Authorize]":
    if settings.engine == "vertex":
        from adapters.try_on.google_tokens import GoogleTokens  # noqa: PLC0415 - 15 MB that only this engine needs

        return vertex_url(settings), GoogleTokens().headers
    from adapters.try_on.predict_engine import bearer  # noqa: PLC0415 - as said

    return str(settings.engine_url), bearer(settings.engine_token)


def vertex_url(settings: Settings) -> str:
    """Source: Vertex AI REST reference, `publishers.models.predict`."""
    region = settings.vertex_region
    host = "aiplatform.googleapis.com" if region == "global" else f"{region}-aiplatform.googleapis.com"
    return (
        f"https://{host}/v1/projects/{settings.vertex_project}/locations/{region}"
        f"/publishers/google/models/{settings.vertex_model}:predict"
    )


class Container(DeclarativeContainer):
    """A test overrides a port by keyword: `Container(settings=…, work=…, clock=…)`."""

    settings = providers.Dependency(instance_of=Settings)

    clock = providers.Singleton(SystemClock)
    random = providers.Singleton(SystemRandomSource)
    engine = providers.Singleton(
        create_engine,
        settings.provided.resolved_database_url,
        pool_size=settings.provided.database_pool_size,
        statement_seconds=settings.provided.database_statement_seconds,
    )
    pseudonyms = providers.Singleton(pseudonyms, settings)
    migrator = providers.Singleton(
        Migrator,
        providers.Singleton(
            create_engine, settings.provided.resolved_database_url, pool_size=1, statement_seconds=MIGRATION_SECONDS
        ),
        pseudonyms,
    )
    work = providers.Singleton(MeasuredUnitOfWork, providers.Singleton(SqlUnitOfWork, engine))
    traces = providers.Singleton(_traces)
    account_meter = providers.Singleton(AccountMeter, with_ids=settings.provided.metrics_by_account)
    telemetry = providers.Singleton(Telemetry, traces, account_meter)
    database_clock = providers.Singleton(DatabaseClock, engine, clock)
    trusted_time = providers.Factory(
        TrustedTime,
        clock=clock,
        database=database_clock,
        jumps=providers.Singleton(WallClockJumps, settings.provided.clock_reference),
    )
    rate_limiter = providers.Singleton(_rate_limiter, settings, engine.provider, clock)
    storage = providers.Singleton(Storage, settings)
    objects = providers.Singleton(MeasuredObjectStore, providers.Singleton(Storage.objects, storage, work))
    disk_reserve = providers.Singleton(MeasuredReserve, providers.Singleton(_disk_reserve, settings))
    signer = providers.Singleton(Storage.links, storage)
    verifier = providers.Singleton(Storage.own_links, storage)
    storage_rules = providers.Singleton(Storage.rules, storage)
    photo_workers = providers.Singleton(build_processor, settings)
    processor = providers.Singleton(NotedPhotoProcessor, photo_workers)

    use_case = partial(_use_case, locals())
    """What is made of the providers so far."""

    links = use_case(PreviewLinks, lifetime=providers.Factory(timedelta, seconds=settings.provided.url_ttl_seconds))
    resolve_image = use_case(ResolveImage)
    open_image = use_case(OpenImage, resolve=resolve_image)
    open_preview = use_case(OpenPreview)
    read_holdings = use_case(ReadHoldings)
    read_image = use_case(ReadImage, resolve=resolve_image)
    finish = use_case(FinishDeletion)
    delete_image = use_case(DeleteImage)
    backup_retention = providers.Factory(timedelta, days=settings.provided.backup_retention_days)
    erase_customer = use_case(EraseCustomer, longest_upload=settings.provided.longest_upload)
    raw_files = providers.Singleton(LocalFiles, providers.Callable(partial, raw_places, settings))
    verify_erasure = use_case(VerifyErasure, files=raw_files)
    receipt_keys = providers.Singleton(receipt_keys, settings)
    read_erasure = use_case(ReadErasure)
    list_erasures = use_case(ListErasures)
    replay_erasure = use_case(ReplayErasure)
    reconcile = use_case(Reconcile)
    keep_picture = use_case(KeepPicture)
    check_photo = use_case(CheckPhoto, turns=providers.Singleton(FairTurns, photo_workers.provided.workers))
    body_memory = providers.Singleton(_body_memory, settings)
    upload_photo = use_case(UploadPhoto)
    fetcher = providers.Singleton(
        UrlFetcher,
        max_bytes=settings.provided.max_file_bytes,
        memory=body_memory,
        seconds=settings.provided.fetch_timeout_seconds,
        allow_http=settings.provided.fetch_http,
    )
    sources = use_case(OpenSource, links=signer)
    copy_picture = use_case(CopyPicture)
    keep_product = use_case(KeepProduct)
    once = use_case(AnswerOnce)
    start_try_on = use_case(StartTryOn, max_waiting=settings.provided.max_waiting_try_ons)
    register_product = use_case(RegisterProduct)
    dev_key_digest = providers.Callable(_dev_key_digest, settings)
    upload_tickets = use_case(UploadTickets)
    read_products = use_case(ReadProducts)
    delete_product = use_case(DeleteProduct)
    renew_products = use_case(RenewProducts)
    purge_overdue = use_case(PurgeOverdue, time=trusted_time, renew=renew_products.provided.execute)
    result_links = use_case(
        PreviewLinks, lifetime=providers.Factory(timedelta, seconds=settings.provided.result_url_ttl_seconds)
    )
    read_generation = use_case(ReadGeneration, links=result_links)
    try_on_engine = providers.Singleton(build_engine, settings, photo_workers)
    run_next_generation = use_case(
        RunNextGeneration,
        engine=try_on_engine,
        engine_time=providers.Factory(timedelta, seconds=settings.provided.engine_timeout_seconds),
    )
    page_pass = providers.Singleton(_page_pass, settings, clock)
    authenticate = use_case(Authenticate)
    limit_rate = use_case(LimitRate, limiter=rate_limiter, requests_per_minute=settings.provided.rate_limit_per_minute)
    create_account = use_case(CreateAccount)
    change_account = use_case(ChangeAccount)
    delete_account = use_case(DeleteAccount)
    set_credits = use_case(SetCredits)
    create_key = use_case(CreateKey)
    rotate_key = use_case(RotateKey, create=create_key)
    revoke_key = use_case(RevokeKey)
    note_in_audit = use_case(NoteInAudit)
    read_audit = use_case(ReadAudit)
    list_accounts = use_case(ListAccounts)
    check_readiness = providers.Singleton(
        CheckReadiness,
        probes=providers.Dict(
            database=work.provided.check,
            commits=work.provided.check_commits,
            storage=objects.provided.check,
            reserve=disk_reserve.provided.expect,
            workers=processor.provided.check,
            engine=try_on_engine.provided.check,
            clock=trusted_time.provided.now,
        ),
    )
