"""Products as rows."""

from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import delete, func, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite

from adapters.sql.engines import SqlConnection
from adapters.sql.tables import entity_of, products, values_of
from domain.account import AccountId
from domain.image import ImageId
from domain.product import Product, ProductPicture

IDS = msgspec.json.Decoder(tuple[str, ...])
PICTURES = msgspec.json.Decoder(tuple[ProductPicture, ...])


class SqlProductRepository:
    """Works inside the transaction of the connection it is given."""

    def __init__(self, connection: SqlConnection) -> None:
        self._connection = connection

    async def add(self, product: Product) -> bool:
        dialect = postgresql if self._connection.dialect.name == "postgresql" else sqlite
        row = dialect.insert(products).values(_values(product))
        return (await self._connection.execute(row.on_conflict_do_nothing())).rowcount == 1

    async def replace(self, product: Product) -> None:
        await self._connection.execute(
            update(products).where(*_named(product.account_id, product.external_id)).values(**_values(product))
        )

    async def touch(self, product: Product) -> bool:
        touched = await self._connection.execute(
            update(products)
            .where(
                *_named(product.account_id, product.external_id),
                products.c.is_one_shot == product.is_one_shot,
                products.c.is_registered.is_(True) if product.is_registered else products.c.is_registered.is_not(True),
            )
            .values(last_used_at=product.last_used_at, expires_at=product.expires_at)
        )
        return touched.rowcount == 1

    async def find(self, account_id: AccountId, external_id: str) -> Product | None:
        row = (await self._connection.execute(select(products).where(*_named(account_id, external_id)))).one_or_none()
        return _product(row) if row else None

    async def hold(self, account_id: AccountId, external_id: str) -> Product | None:
        query = select(products).where(*_named(account_id, external_id)).with_for_update()
        row = (await self._connection.execute(query)).one_or_none()
        return _product(row) if row else None

    async def remove(self, account_id: AccountId, external_id: str) -> tuple[ImageId, ...]:
        return await self._delete(*_named(account_id, external_id))

    async def remove_all(self, account_id: AccountId) -> None:
        await self._connection.execute(delete(products).where(products.c.account_id == account_id))

    async def count(self, account_id: AccountId) -> int:
        query = select(func.count()).select_from(products).where(products.c.account_id == account_id)
        return int((await self._connection.execute(query)).scalar_one())

    async def page(self, account_id: AccountId, after: str, limit: int, now: datetime) -> tuple[Product, ...]:
        query = (
            select(products)
            .where(
                products.c.account_id == account_id,
                products.c.external_id > after,
                or_(products.c.expires_at.is_(None), products.c.expires_at > now),
            )
            .order_by(products.c.external_id)
            .limit(limit)
        )
        return tuple(_product(row) for row in await self._connection.execute(query))

    async def claim_renewals(self, now: datetime, again_at: datetime, limit: int) -> tuple[Product, ...]:
        query = (
            select(products)
            .where(products.c.renew_at <= now)
            .order_by(products.c.renew_at)
            .limit(limit)
            .with_for_update(skip_locked=True)
        )
        found = [_product(row) for row in await self._connection.execute(query)]
        for product in found:
            await self._connection.execute(
                update(products).where(*_named(product.account_id, product.external_id)).values(renew_at=again_at)
            )
        return tuple(found)

    async def sweep(self, now: datetime) -> tuple[ImageId, ...]:
        return await self._delete(products.c.expires_at <= now)

    async def _delete(self, *conditions: Any) -> tuple[ImageId, ...]:
        gone = await self._connection.execute(delete(products).where(*conditions).returning(products.c.images))
        return tuple(ImageId(image_id) for row in gone for image_id in IDS.decode(row.images))


def _named(account_id: AccountId, external_id: str) -> tuple[Any, ...]:
    return products.c.account_id == account_id, products.c.external_id == external_id


def _values(product: Product) -> dict[str, Any]:
    images, pictures = (msgspec.json.encode(each).decode() for each in (product.images, product.pictures))
    return values_of(product, products, images=images, pictures=pictures)


def _product(row: Any) -> Product:
    began_at = row.created_at or row.expires_at - Product.IDLE_LIFETIME
    return entity_of(
        Product,
        row._mapping,
        pictures=_pictures(row),
        created_at=began_at,
        updated_at=row.updated_at or began_at,
        last_used_at=row.last_used_at or began_at,
        is_registered=bool(row.is_registered),
    )


def _pictures(row: Any) -> tuple[ProductPicture, ...]:
    """A row of an earlier version names images and nothing else of them."""
    known = {picture.image_id: picture for picture in (PICTURES.decode(row.pictures) if row.pictures else ())}
    return tuple(
        known.get(image_id)
        or ProductPicture(image_id=image_id, source=image_id, kept_until=row.expires_at, checked_at=row.expires_at)
        for image_id in map(ImageId, IDS.decode(row.images))
    )
