"""The container: the adapter of each port, and the use cases made of them."""

import os
from collections.abc import Callable, Mapping
from dataclasses import fields
from datetime import timedelta
from functools import partial
from typing import Any, Final, TypeVar, cast

from dependency_injector import providers
from dependency_injector.containers import DeclarativeContainer
from sqlalchemy.ext.asyncio import AsyncEngine

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
from application.ports.system import Clock, RateLimiter
from application.products import DeleteProduct, ReadProducts, RegisterProduct, RenewProducts
from application.read_image import OpenImage, OpenPreview, OpenSource, PreviewLinks, ReadImage, ResolveImage
from application.reconcile import Reconcile
from application.start_try_on import StartTryOn
from application.upload_photo import CheckPhoto, UploadPhoto
from domain.account import digest_of_key
from entrypoints.wiring.choices import Storage, build_engine, pseudonyms, receipt_keys, signing_ring
from entrypoints.wiring.environment import are_traces_wanted
from entrypoints.wiring.photo_processing import build_processor
from entrypoints.wiring.settings import Settings
from entrypoints.wiring.surroundings import raw_places

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
