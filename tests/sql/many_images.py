"""A PostgreSQL table of images as large as it takes, filled by the server itself."""

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

FILL = """
INSERT INTO images
    (id, account_id, customer_id, state, keep_for_days, created_at, due_at, key_digest, fingerprint, photo)
SELECT 'img_' || md5(n::text), 'acc_acme',
       CASE WHEN n % 2 = 0 THEN 'gid://shopify/Customer/' || n / 20 END, 'stored', 7,
       TIMESTAMPTZ '2026-11-22 12:00+00' - n * INTERVAL '7 days' / :rows,
       TIMESTAMPTZ '2026-11-29 12:00+00' - n * INTERVAL '7 days' / :rows,
       CASE WHEN n % 3 = 0 THEN decode(md5(n::text), 'hex') END,
       CASE WHEN n % 3 = 0 THEN decode(md5(n::text), 'hex') END,
       :photo
FROM generate_series(1, :rows) AS n
"""
PHOTO = (
    '{"size":{"width":1600,"height":2000},"size_bytes":412345,"source_format":"JPEG","source_size":{"width":3024,'
    '"height":4032},"crop":{"x":0,"y":126,"width":3024,"height":3780},"person":null,"warnings":[]}'
)
"""As the repository writes it; the times are spread so that the oldest is due at noon of 22 November 2026."""


async def fill(engine: AsyncEngine, rows: int) -> None:
    """`rows` stored images of account `acc_acme`: half of them of customers with ten each, a third with a key."""
    async with engine.begin() as connection:
        await connection.execute(
            text(
                "INSERT INTO accounts (id, name, default_keep_for_days, is_active, erasure_epoch, created_at) VALUES "
                "('acc_acme', 'acme', 7, true, 0, now()) ON CONFLICT DO NOTHING"
            )
        )
        await connection.execute(text(FILL), {"rows": rows, "photo": PHOTO})
    async with engine.connect() as connection:
        await (await connection.execution_options(isolation_level="AUTOCOMMIT")).execute(text("VACUUM ANALYZE images"))
