"""The container: the adapter of each port, and the use cases made of them."""

from collections.abc import Callable
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any, Final

from dependency_injector import providers
from dependency_injector.containers import DeclarativeContainer
from sqlalchemy.ext.asyncio import AsyncEngine

from adapters.object_storage.disk_reserve import LocalDiskReserve
from adapters.rate_limit.rate_limiters import InMemoryRateLimiter, SqlRateLimiter
from adapters.raw_files import LocalFiles
from adapters.sandbox import system
from adapters.sandbox.processor import SandboxedPhotoProcessor
from adapters.sql.migrate import MIGRATION_SECONDS, Migrator
from adapters.sql.unit_of_work import DatabaseClock, SqlUnitOfWork, create_engine
from adapters.system import SystemClock, SystemRandomSource, WallClockJumps
from adapters.telemetry.measured_ports import (
    MeasuredObjectStore,
    MeasuredReserve,
    MeasuredUnitOfWork,
    NotedPhotoProcessor,
)
from adapters.telemetry.metrics import AccountMeter
from adapters.url_fetching.url_fetcher import UrlFetcher
from application.answer_once import AnswerOnce
from application.audit import NoteInAudit, ReadAudit
from application.authenticate import Authenticate, LimitRate, PagePass
from application.body_memory import BodyMemory
from application.check_readiness import CheckReadiness
from application.customer_holdings import ReadHoldings
from application.delete_image import DeleteImage, FinishDeletion
from application.erase_customer import EraseCustomer
from application.erasure_audit import ListErasures, ReadErasure, ReplayErasure, VerifyErasure
from application.fair_turns import FairTurns
from application.keep_picture import KeepPicture
from application.keep_product import CopyPicture, KeepProduct
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
from application.photo_sources import OpenSource
from application.ports.system import Clock, RateLimiter
from application.products import DeleteProduct, ReadProducts, RegisterProduct, RenewProducts
from application.purge import PurgeOverdue, TrustedTime
from application.read_generation import ReadGeneration
from application.read_image import OpenImage, OpenPreview, PreviewLinks, ReadImage, ResolveImage
from application.reconcile import Reconcile
from application.run_generation import RunNextGeneration
from application.start_try_on import StartTryOn
from application.upload_photo import CheckPhoto, UploadPhoto
from application.upload_tickets import UploadTickets
from domain.account import digest_of_key
from entrypoints.http.upload_form import FRAMING_BYTES
from entrypoints.wiring.key_rings import pseudonyms, receipt_keys, signing_ring
from entrypoints.wiring.photo_processing import build_processor
from entrypoints.wiring.settings import Settings
from entrypoints.wiring.storage import Storage
from entrypoints.wiring.surroundings import raw_places
from entrypoints.wiring.telemetry import Telemetry
from entrypoints.wiring.try_on_engine import build_engine

MOST_UPLOAD_MEMORY_BYTES: Final = 768 * 1024 * 1024
"""Two hundred phones at once; the whole service then stays under 1.4 GB, whatever the machine has."""


def _seconds(number: int) -> timedelta:
    return timedelta(seconds=number)


def _days(number: int) -> timedelta:
    return timedelta(days=number)


def _dev_key_digest(settings: Settings) -> bytes | None:
    return digest_of_key(settings.dev_api_key) if settings.dev_api_key else None


def _page_pass(settings: Settings, clock: Clock) -> PagePass | None:
    """Only where nobody but this machine can use one."""
    return PagePass(signing_ring(settings)[0], clock) if settings.shows_playground and settings.is_local else None


def _rate_limiter(settings: Settings, engine: Callable[[], AsyncEngine], clock: Clock) -> RateLimiter:
    """One process of one machine can count by itself; several have to agree, by way of what they share."""
    if settings.serves_alone:
        return InMemoryRateLimiter()
    return SqlRateLimiter(engine(), clock)


def _disk_reserve(settings: Settings) -> LocalDiskReserve:
    """Of the folders that grow; PostgreSQL and buckets have disks of their own."""
    folders = [settings.storage_folder] if settings.keeps_files else []
    if settings.has_own_database:
        folders.append(Path(settings.resolved_database_url.partition("///")[2]).parent)
    return LocalDiskReserve(folders, settings.disk_reserve_mb * 1024 * 1024)


def _body_memory(settings: Settings) -> BodyMemory:
    """The share of one server process; three of the largest files may come in one form of a try-on."""
    given = settings.upload_memory_mb
    usual_bytes = min(system.usable_memory_bytes() // 4, MOST_UPLOAD_MEMORY_BYTES)
    total_bytes = usual_bytes if given is None else given * 1024 * 1024
    return BodyMemory(settings.share(total_bytes), 3 * settings.max_file_bytes + FRAMING_BYTES)


def _photo_turns(photo_workers: SandboxedPhotoProcessor) -> FairTurns:
    """One more than there are workers: none of them waits for the next photo."""
    return FairTurns(photo_workers.workers + 1)


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
    traces: providers.Object[Any] = providers.Object(None)
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
    link_signer = providers.Singleton(Storage.link_signer, storage)
    link_reader = providers.Singleton(Storage.link_reader, storage)
    hmac_links = providers.Singleton(Storage.own_links, storage)
    storage_rules = providers.Singleton(Storage.rules, storage)
    photo_workers = providers.Singleton(build_processor, settings)
    processor = providers.Singleton(NotedPhotoProcessor, photo_workers)

    links = providers.Factory(
        PreviewLinks,
        signer=link_signer,
        clock=clock,
        lifetime=providers.Callable(_seconds, settings.provided.url_ttl_seconds),
    )
    resolve_image = providers.Factory(ResolveImage, work=work, clock=clock)
    open_image = providers.Factory(OpenImage, resolve=resolve_image, objects=objects)
    open_preview = providers.Factory(OpenPreview, verifier=hmac_links, open_image=open_image, work=work, clock=clock)
    read_holdings = providers.Factory(ReadHoldings, work=work, open_image=open_image, clock=clock)
    read_image = providers.Factory(ReadImage, resolve=resolve_image, links=links)
    finish_deletion = providers.Factory(FinishDeletion, objects=objects, work=work, clock=clock)
    delete_image = providers.Factory(DeleteImage, work=work, finish=finish_deletion, clock=clock)
    backup_retention = providers.Callable(_days, settings.provided.backup_retention_days)
    erase_customer = providers.Factory(
        EraseCustomer,
        work=work,
        finish=finish_deletion,
        clock=clock,
        random=random,
        backup_retention=backup_retention,
        longest_upload=settings.provided.longest_upload,
    )
    raw_files = providers.Singleton(LocalFiles, providers.Callable(partial, raw_places, settings))
    verify_erasure = providers.Factory(
        VerifyErasure, work=work, objects=objects, files=raw_files, pseudonyms=pseudonyms
    )
    receipt_keys = providers.Singleton(receipt_keys, settings)
    read_erasure = providers.Factory(ReadErasure, work=work)
    list_erasures = providers.Factory(ListErasures, work=work)
    replay_erasure = providers.Factory(
        ReplayErasure, work=work, finish=finish_deletion, clock=clock, backup_retention=backup_retention
    )
    reconcile = providers.Factory(Reconcile, work=work, objects=objects, finish=finish_deletion, clock=clock)
    keep_picture = providers.Factory(
        KeepPicture, objects=objects, work=work, finish=finish_deletion, clock=clock, disk_reserve=disk_reserve
    )
    photo_turns = providers.Singleton(_photo_turns, photo_workers)
    check_photo = providers.Factory(CheckPhoto, processor=processor, turns=photo_turns)
    body_memory = providers.Singleton(_body_memory, settings)
    upload_photo = providers.Factory(
        UploadPhoto,
        check_photo=check_photo,
        keep_picture=keep_picture,
        links=links,
        clock=clock,
        random=random,
    )
    fetcher = providers.Singleton(
        UrlFetcher,
        max_bytes=settings.provided.max_file_bytes,
        memory=body_memory,
        seconds=settings.provided.fetch_timeout_seconds,
        allow_http=settings.provided.fetch_http,
    )
    sources = providers.Factory(
        OpenSource, resolve_image=resolve_image, fetcher=fetcher, links=link_reader, clock=clock
    )
    copy_picture = providers.Factory(
        CopyPicture, keep_picture=keep_picture, objects=objects, clock=clock, random=random
    )
    keep_product = providers.Factory(
        KeepProduct,
        upload_photo=upload_photo,
        delete_image=delete_image,
        copy_picture=copy_picture,
        sources=sources,
        work=work,
        clock=clock,
        random=random,
    )
    once = providers.Factory(AnswerOnce, work=work, clock=clock)
    start_try_on = providers.Factory(
        StartTryOn,
        max_waiting=settings.provided.max_waiting_try_ons,
        upload_photo=upload_photo,
        delete_image=delete_image,
        keep_product=keep_product,
        sources=sources,
        once=once,
        work=work,
        clock=clock,
        random=random,
    )
    register_product = providers.Factory(RegisterProduct, keep_product=keep_product, once=once, work=work, clock=clock)
    upload_tickets = providers.Factory(
        UploadTickets,
        work=work,
        once=once,
        clock=clock,
        random=random,
        pseudonyms=pseudonyms,
        dev_key_digest=providers.Callable(_dev_key_digest, settings),
    )
    read_products = providers.Factory(ReadProducts, work=work, clock=clock)
    delete_product = providers.Factory(DeleteProduct, keep_product=keep_product, work=work)
    renew_products = providers.Factory(
        RenewProducts, keep_product=keep_product, copy_picture=copy_picture, work=work, clock=clock
    )
    purge_overdue = providers.Factory(
        PurgeOverdue,
        work=work,
        finish=finish_deletion,
        objects=objects,
        time=trusted_time,
        renew=renew_products.provided.execute,
    )
    read_generation = providers.Factory(
        ReadGeneration,
        work=work,
        links=providers.Factory(
            PreviewLinks,
            signer=link_signer,
            clock=clock,
            lifetime=providers.Callable(_seconds, settings.provided.result_url_ttl_seconds),
        ),
        clock=clock,
    )
    try_on_engine = providers.Singleton(build_engine, settings, photo_workers)
    run_next_generation = providers.Factory(
        RunNextGeneration,
        engine=try_on_engine,
        open_image=open_image,
        keep_picture=keep_picture,
        work=work,
        clock=clock,
        random=random,
        engine_time=providers.Callable(_seconds, settings.provided.engine_timeout_seconds),
    )
    page_pass = providers.Singleton(_page_pass, settings, clock)
    authenticate = providers.Factory(
        Authenticate,
        clock=clock,
        work=work,
        dev_key_digest=providers.Callable(_dev_key_digest, settings),
        page_pass=page_pass,
    )
    limit_rate = providers.Factory(
        LimitRate, limiter=rate_limiter, requests_per_minute=settings.provided.rate_limit_per_minute
    )
    create_account = providers.Factory(CreateAccount, work=work, clock=clock, random=random)
    change_account = providers.Factory(ChangeAccount, work=work, clock=clock)
    delete_account = providers.Factory(DeleteAccount, work=work, finish=finish_deletion, clock=clock)
    set_credits = providers.Factory(SetCredits, work=work, clock=clock)
    create_key = providers.Factory(CreateKey, work=work, clock=clock, random=random)
    rotate_key = providers.Factory(RotateKey, create=create_key)
    revoke_key = providers.Factory(RevokeKey, work=work, clock=clock)
    note_in_audit = providers.Factory(NoteInAudit, work=work, clock=clock)
    read_audit = providers.Factory(ReadAudit, work=work)
    list_accounts = providers.Factory(ListAccounts, work=work)
    check_readiness = providers.Singleton(
        CheckReadiness,
        probes=providers.Dict(
            database=work.provided.check,
            commits=work.provided.check_commits,
            storage=objects.provided.check,
            reserve=disk_reserve.provided.expect,
            workers=processor.provided.check,
            engine=try_on_engine.provided.check,
            clock=trusted_time.provided.check,
        ),
    )
