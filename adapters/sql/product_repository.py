"""Products as rows."""

from datetime import datetime

import msgspec
from sqlalchemy import delete, select
from sqlalchemy.dialects import postgresql, sqlite

from adapters.sql.sqlite_engine import SqlConnection
from adapters.sql.tables import products
from domain.account import AccountId
from domain.image import ImageId
from domain.product import Product

IDS = msgspec.json.Decoder(tuple[str, ...])


class SqlProductRepository:
    """Works inside the transaction of the connection it is given."""

    def __init__(self, connection: SqlConnection) -> None:
        self._connection = connection

    async def save(self, product: Product) -> None:
        dialect = postgresql if self._connection.dialect.name == "postgresql" else sqlite
        changing = {
            "images": msgspec.json.encode(product.images).decode(),
            "expires_at": product.expires_at,
            "is_one_shot": product.is_one_shot,
        }
        row = dialect.insert(products).values(
            account_id=product.account_id, external_id=product.external_id, **changing
        )
        await self._connection.execute(
            row.on_conflict_do_update(index_elements=["account_id", "external_id"], set_=changing)
        )

    async def find(self, account_id: AccountId, external_id: str) -> Product | None:
        query = select(products).where(products.c.account_id == account_id, products.c.external_id == external_id)
        row = (await self._connection.execute(query)).one_or_none()
        if row is None:
            return None
        return Product(
            account_id=AccountId(row.account_id),
            external_id=row.external_id,
            images=tuple(ImageId(image_id) for image_id in IDS.decode(row.images)),
            expires_at=row.expires_at,
            is_one_shot=row.is_one_shot,
        )

    async def sweep(self, now: datetime) -> int:
        return (await self._connection.execute(delete(products).where(products.c.expires_at <= now))).rowcount
