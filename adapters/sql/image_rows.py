"""Images as rows."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Final

import msgspec
from sqlalchemy import ColumnElement, Row, bindparam, delete, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from adapters.sql.schema import (
    IDS_AT_ONCE,
    ROWS_AT_ONCE,
    Rows,
    accounts,
    customer_of,
    images,
    in_batches,
    is_of,
    pseudonym_of,
)
from application.ports.rows import (
    CustomerTraces,
    DueBatch,
    ImageToDelete,
    KnownImage,
    OutOfReach,
    Overdue,
    PublishOutcome,
)
from domain.account import AccountId, RetentionPolicy
from domain.customer import Customer, IdempotencyRecord
from domain.errors import IdempotencyKeyInUse
from domain.image import ErasureId, ImageId, ImageState, StoredPhoto, UploadedImage, object_name
from domain.photo import PhotoWarning, WarningCode

TRIED_AGAIN_WITHIN: Final = timedelta(minutes=15)
"""No deletion that failed waits longer for its next try."""
FIND: Final = select(images).where(images.c.id == bindparam("image"), images.c.account_id == bindparam("account"))
FIND_BY_KEY: Final = (
    select(images)
    .where(images.c.account_id == bindparam("account"), images.c.key_digest.in_(bindparam("keys", expanding=True)))
    .limit(1)
)
IS_STORED: Final = images.c.state == ImageState.STORED
IS_LIVE: Final = images.c.state.in_([ImageState.PENDING, ImageState.STORED])


class SqlImageRepository(Rows):
    """Images."""

    async def reserve(self, image: UploadedImage) -> None:
        record = image.idempotency
        try:
            await self._insert(
                image,
                state=ImageState.PENDING,
                due_at=image.created_at + UploadedImage.PENDING_LEASE,
                customer_id=pseudonym_of(image.customer),
                key_digest=record.key_digest if record else None,
                fingerprint=record.fingerprint if record else None,
            )
        except IntegrityError as error:
            if record is None:
                raise
            raise IdempotencyKeyInUse from error  # two copies at once: both found the key free, the index let one in

    async def publish(self, image: UploadedImage, photo: StoredPhoto) -> PublishOutcome:
        published = await self._change(
            update(images)
            .where(images.c.id == image.image_id, images.c.state == ImageState.PENDING)
            .values(state=ImageState.STORED, due_at=image.expires_at, photo=photo_as_json(photo))
        )
        if published:
            return PublishOutcome.PUBLISHED
        erasure_id = await self._connection.scalar(select(images.c.erasure_id).where(images.c.id == image.image_id))
        return PublishOutcome.ERASED if erasure_id else PublishOutcome.LAPSED

    async def abandon(self, image: UploadedImage, retry_at: datetime) -> ImageToDelete | None:
        marked = await self._mark_deleting(retry_at, images.c.id == image.image_id, images.c.photo.is_(None))
        if marked:
            return marked[0]
        if await self._connection.scalar(select(images.c.id).where(images.c.id == image.image_id)):
            return None
        # Nobody but the image's own upload, which is asking, ever inserts its row.
        await self._insert(image, state=ImageState.DELETING, due_at=retry_at)
        return ImageToDelete(image.image_id, image.object_name)

    async def find(self, image_id: ImageId, account_id: AccountId) -> UploadedImage | None:
        return await self._one(_image, FIND, image=image_id, account=account_id)

    async def hold(self, image_id: ImageId, account_id: AccountId) -> UploadedImage | None:
        return await self._one(_image, FIND.with_for_update(), image=image_id, account=account_id)

    async def adopt(self, image_id: ImageId, customer: Customer) -> bool:
        adopted = await self._change(
            update(images)
            .where(images.c.id == image_id, images.c.account_id == customer.account_id, images.c.customer_id.is_(None))
            .values(customer_id=customer.pseudonym)
        )
        return adopted == 1

    async def find_by_idempotency_key(self, account_id: AccountId, record: IdempotencyRecord) -> UploadedImage | None:
        return await self._one(_image, FIND_BY_KEY, account=account_id, keys=record.key_digests)

    async def release_idempotency_key(self, image_id: ImageId) -> None:
        await self._change(update(images).where(images.c.id == image_id).values(key_digest=None, fingerprint=None))

    async def mark_deleting(self, image_id: ImageId, account_id: AccountId, retry_at: datetime) -> ImageToDelete | None:
        is_there = (images.c.id == image_id, images.c.account_id == account_id, images.c.photo.is_not(None))
        marked = await self._mark_deleting(retry_at, *is_there)
        return marked[0] if marked else None

    async def mark_customer_deleting(
        self, customer: Customer, erasure_id: ErasureId, now: datetime, retry_at: datetime
    ) -> tuple[ImageToDelete, ...]:
        in_flight = images.c.photo.is_(None) & (images.c.due_at > now)
        flying = await self._mark_erased(erasure_id, is_of(customer, images), in_flight)
        settled = await self._mark_erased(erasure_id, is_of(customer, images), ~in_flight, due_at=retry_at)
        return (
            *(_to_delete(row, is_in_flight=True) for row in flying),
            *(_to_delete(row) for row in settled),
        )

    async def _mark_erased(
        self, erasure_id: ErasureId, *conditions: ColumnElement[bool], **values: Any
    ) -> list[Row[Any]]:
        rest = select(images.c.id).where(*conditions, images.c.erasure_id.is_distinct_from(erasure_id))
        changing = (
            update(images)
            .where(images.c.id.in_(rest.limit(ROWS_AT_ONCE)))
            .values(state=ImageState.DELETING, erasure_id=erasure_id, key_digest=None, fingerprint=None, **values)
            .returning(images.c.id, images.c.keep_for_days)
        )
        marked: list[Row[Any]] = []
        while batch := (await self._connection.execute(changing)).all():
            marked.extend(batch)
        return marked

    async def mark_known_deleting(
        self, image_ids: Sequence[ImageId], retry_at: datetime, *, only_stored: bool = False
    ) -> tuple[ImageToDelete, ...]:
        condition = [IS_STORED] if only_stored else []
        known = in_batches(image_ids, IDS_AT_ONCE)
        batches = [await self._mark_deleting(retry_at, images.c.id.in_(some), *condition) for some in known]
        return tuple(marked for batch in batches for marked in batch)

    async def release(self, image_ids: Sequence[ImageId], due_at: datetime) -> None:
        is_of_product = images.c.keep_for_days == RetentionPolicy.PRODUCT_DAYS
        for some in in_batches(sorted(image_ids), IDS_AT_ONCE):
            await self._change(
                update(images)
                .where(images.c.id.in_(some), is_of_product, IS_STORED, images.c.due_at > due_at)
                .values(due_at=due_at)
            )

    async def mark_due_deleting(self, now: datetime, retry_at: datetime, limit: int) -> DueBatch:
        due = (
            select(images.c.id, images.c.state)
            .where(images.c.due_at <= now)
            .order_by(images.c.due_at)
            .limit(limit)
            .with_for_update(skip_locked=True)
        )
        found = (await self._connection.execute(due)).all()
        states = [row.state for row in found]
        marked = await self._mark_deleting(retry_at, images.c.id.in_([row.id for row in found])) if found else ()
        return DueBatch(marked, states.count(ImageState.STORED), states.count(ImageState.PENDING))

    async def remove(self, image_ids: Iterable[ImageId]) -> None:
        # In one order for all: two that remove the same rows wait in line.
        for some in in_batches(sorted(image_ids), IDS_AT_ONCE):
            await self._change(delete(images).where(images.c.id.in_(some), ~IS_STORED))

    async def traces_of(self, customer: Customer) -> CustomerTraces:
        counts = select(func.count(), func.count(images.c.key_digest)).where(is_of(customer, images))
        return CustomerTraces(*(await self._connection.execute(counts)).one())

    async def stored_of(self, customer: Customer, after: str, limit: int) -> tuple[UploadedImage, ...]:
        stored = select(images).where(is_of(customer, images), IS_STORED, images.c.id > after)
        return await self._all(_image, stored.order_by(images.c.id).limit(limit))

    async def under_other_keys(self, prefixes: Sequence[str], account_id: AccountId | None = None) -> OutOfReach:
        customer, days = images.c.customer_id, images.c.keep_for_days
        query = select(days, func.count(), func.max(images.c.created_at)).where(
            func.length(customer) == Customer.PSEUDONYM_CHARS,  # what the version before wrote is found as it is
            func.substr(customer, Customer.PREFIX_CHARS, 1) == ".",
            func.substr(customer, 1, Customer.PREFIX_CHARS).not_in(prefixes),
        )
        if account_id is not None:
            query = query.where(images.c.account_id == account_id)
        found = [tuple(row) for row in await self._connection.execute(query.group_by(days))]
        ends = [newest + timedelta(days=kept) for kept, _, newest in found]
        return OutOfReach(sum(count for _, count, _ in found), max(ends, default=None))

    async def count(self) -> int:
        return await self._number(select(func.count()).select_from(images))

    async def has_kept(self) -> bool:
        kept = select(images.c.id).where(images.c.photo.is_not(None)).limit(1)
        return await self._connection.scalar(kept) is not None

    async def objects_of(self, image_ids: Sequence[ImageId]) -> frozenset[str]:
        names: set[str] = set()
        for some in in_batches(image_ids, IDS_AT_ONCE):
            query = select(images.c.id, images.c.keep_for_days).where(images.c.id.in_(some))
            names.update(await self._all(_object_name, query))
        return frozenset(names)

    async def count_live(self, account_id: AccountId) -> int:
        await self._connection.execute(
            select(accounts.c.id).where(accounts.c.id == account_id).with_for_update(key_share=True)
        )
        is_of_shopper = images.c.keep_for_days != RetentionPolicy.PRODUCT_DAYS
        return await self._number(select(func.count()).where(images.c.account_id == account_id, IS_LIVE, is_of_shopper))

    async def live_of(self, account_id: AccountId, until: datetime | None, limit: int) -> tuple[UploadedImage, ...]:
        live = select(images).where(images.c.account_id == account_id, IS_LIVE)
        if until is not None:
            live = live.where(images.c.due_at <= until)
        return await self._all(_image, live.order_by(images.c.due_at, images.c.id).limit(limit))

    async def overdue(self, now: datetime) -> Overdue:
        total = Overdue()
        for days in RetentionPolicy.ALL_DAYS:
            kept = timedelta(days=days)
            query = select(func.count(), func.min(images.c.created_at)).where(
                images.c.due_at <= now + TRIED_AGAIN_WITHIN,  # what is due later is alive: an index finds the rest
                images.c.keep_for_days == days,
                images.c.created_at <= now - kept,
                images.c.state != ImageState.PENDING,
            )
            count, oldest = (await self._connection.execute(query)).one()
            if count:
                total = Overdue(total.images + count, max(total.oldest, now - (oldest + kept)))
        return total

    async def known_after(self, retention: RetentionPolicy, image_id: str, limit: int) -> tuple[KnownImage, ...]:
        known = select(images.c.id, images.c.state).where(
            images.c.keep_for_days == retention.keep_for_days, images.c.id > image_id
        )
        rows = await self._connection.execute(known.order_by(images.c.id).limit(limit))
        return tuple(KnownImage(row.id, row.state == ImageState.STORED) for row in rows)

    async def _insert(self, image: UploadedImage, **values: Any) -> None:
        await self._change(
            insert(images).values(
                id=image.image_id,
                account_id=image.account_id,
                keep_for_days=image.retention.keep_for_days,
                created_at=image.created_at,
                **values,
            )
        )

    async def _mark_deleting(self, retry_at: datetime, *conditions: ColumnElement[bool]) -> tuple[ImageToDelete, ...]:
        marking = (
            update(images)
            .where(*conditions)
            .values(state=ImageState.DELETING, due_at=retry_at, key_digest=None, fingerprint=None)
            .returning(images.c.id, images.c.keep_for_days)
        )
        return await self._all(_to_delete, marking)


def _to_delete(row: Row[Any], *, is_in_flight: bool = False) -> ImageToDelete:
    return ImageToDelete(row.id, _object_name(row), is_in_flight)


def _object_name(row: Any) -> str:
    return object_name(row.id, RetentionPolicy(row.keep_for_days))


def _image(row: Any) -> UploadedImage:
    return UploadedImage(
        image_id=row.id,
        account_id=AccountId(row.account_id),
        customer=customer_of(row),
        retention=RetentionPolicy(row.keep_for_days),
        created_at=row.created_at,
        state=ImageState(row.state),
        photo=photo_of_json(row.photo) if row.photo is not None else None,
        idempotency=IdempotencyRecord(row.key_digest, row.fingerprint) if row.key_digest is not None else None,
    )


LATER: Final = "later_warnings"
LATER_CODES: Final = frozenset(
    {
        WarningCode.BODY_CUT_BY_CROP,
        WarningCode.PHOTO_SIDEWAYS,
        WarningCode.HDR_TONE_MAPPED,
        WarningCode.UNKNOWN_FIELD,
    }
)
"""Those of after 0.1.0. A new code has to be here: a test compares."""
_FIRST_VERSION: Final = msgspec.json.Decoder(StoredPhoto)
_WITH_LATER: Final = msgspec.json.Decoder(dict[str, Any])


def photo_as_json(photo: StoredPhoto) -> str:
    """As the version before can read it too: while an upgrade rolls, both serve from one database.

    The first version refuses a warning that it does not know, so the codes of later ones have a place of their own.
    """
    later = tuple(warning for warning in photo.warnings if warning.code in LATER_CODES)
    if not later:
        return msgspec.json.encode(photo).decode()
    first = replace(photo, warnings=tuple(warning for warning in photo.warnings if warning not in later))
    return msgspec.json.encode(msgspec.to_builtins(first) | {LATER: msgspec.to_builtins(later)}).decode()


def photo_of_json(text: str) -> StoredPhoto:
    """The photo; warnings of a version that is newer than this one are left out."""
    photo = _FIRST_VERSION.decode(text)
    if LATER not in text:
        return photo
    later = (warning for warning in _WITH_LATER.decode(text)[LATER] if warning["code"] in set(WarningCode))
    return replace(photo, warnings=photo.warnings + tuple(msgspec.convert(warning, PhotoWarning) for warning in later))
