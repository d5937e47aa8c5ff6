"""PostgreSQL tables as large as it takes, filled by the server itself."""

from collections.abc import Iterable

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

PHOTO = (
    '{"size":{"width":1600,"height":2000},"size_bytes":412345,"source_format":"JPEG","source_size":{"width":3024,'
    '"height":4032},"crop":{"x":0,"y":126,"width":3024,"height":3780},"person":null,"warnings":[]}'
)
"""As the repository writes it."""

ACCOUNTS = """
INSERT INTO accounts (id, name, default_keep_for_days, is_active, erasure_epoch, created_at)
SELECT id, id, 7, true, 0, now() FROM (
    SELECT 'acc_acme' AS id UNION ALL SELECT 'acc_other' UNION ALL SELECT 'acc_' || generate_series(1, :rows / 50)
) AS ids
"""

# Half of them of customers with ten each, a third with an idempotency key; one in a hundred is not acme's. The times
# are spread so that the oldest is due at noon of 22 November 2026.
IMAGES = """
INSERT INTO images
    (id, account_id, customer_id, state, keep_for_days, created_at, due_at, key_digest, fingerprint, photo)
SELECT 'img_' || md5(n::text), CASE WHEN n % 100 = 99 THEN 'acc_other' ELSE 'acc_acme' END,
       CASE WHEN n % 2 = 0 THEN 'gid://shopify/Customer/' || n / 20 END, 'stored', 7,
       TIMESTAMPTZ '2026-11-22 12:00+00' - n * INTERVAL '7 days' / :rows,
       TIMESTAMPTZ '2026-11-29 12:00+00' - n * INTERVAL '7 days' / :rows,
       CASE WHEN n % 3 = 0 THEN decode(md5(n::text), 'hex') END,
       CASE WHEN n % 3 = 0 THEN decode(md5(n::text), 'hex') END,
       :photo
FROM generate_series(1, :rows) AS n
"""

# Most have ended and are kept for a month; one in a hundred waits, and one is being worked on.
GENERATIONS = """
INSERT INTO generations
    (id, account_id, status, customer_id, person_image_id, garment_image_ids, lease_id, keep_for_days, attempts,
     result_image_id, created_at, updated_at, due_at)
SELECT 'gen_' || n, 'acc_acme', status, CASE WHEN is_open THEN 'gid://shopify/Customer/' || n END,
       CASE WHEN is_open THEN 'img_' || md5(n::text) END, CASE WHEN is_open THEN '["img_1"]' END,
       CASE WHEN status = 'PROCESSING' THEN 'lea_' || n END, 7, 1,
       CASE status WHEN 'COMPLETED' THEN 'img_' || md5(n::text) END, due_at - INTERVAL '30 days', due_at, due_at
FROM (
    SELECT n, n % 100 < 2 AS is_open,
           CASE n % 100 WHEN 0 THEN 'PENDING' WHEN 1 THEN 'PROCESSING' WHEN 2 THEN 'FAILED' ELSE 'COMPLETED' END
               AS status,
           TIMESTAMPTZ '2026-11-22 12:00+00'
               + 5 * n * CASE WHEN n % 100 < 2 THEN INTERVAL '5 minutes' ELSE INTERVAL '30 days' END / :rows AS due_at
    FROM generate_series(1, :rows / 5) AS n
) AS made
"""

# A month of erasures, each of two images that are gone by now, and what else there is for each account.
OTHERS = {
    "api_keys": """
INSERT INTO api_keys (id, account_id, digest, label, created_at)
SELECT n::text, 'acc_' || n, '\\x00', '', now() FROM generate_series(1, :rows / 50) AS n
""",
    "rate_buckets": """
INSERT INTO rate_buckets (account_id, bucket, full_at_us)
SELECT 'acc_' || n, bucket, 0 FROM generate_series(1, :rows / 50) AS n, unnest(ARRAY['requests', 'polls']) AS bucket
""",
    "products": """
INSERT INTO products (account_id, external_id, images, is_one_shot, expires_at, renew_at)
SELECT 'acc_' || CASE n % 10 WHEN 0 THEN 'acme' ELSE (n % 1000)::text END, 'shirt-' || n, '["img_1"]', false, due, due
FROM (SELECT n, TIMESTAMPTZ '2026-11-22 12:00+00' + n * INTERVAL '15 days' / :rows AS due
      FROM generate_series(1, :rows / 10) AS n) AS made
""",
    "idempotency_keys": """
INSERT INTO idempotency_keys (account_id, key_digest, fingerprint, customer_id, due_at)
SELECT 'acc_acme', decode(md5(n::text), 'hex'), '\\x00', 'gid://shopify/Customer/' || n,
       TIMESTAMPTZ '2026-11-22 12:00+00' + n * INTERVAL '1 day' / :rows
FROM generate_series(1, :rows / 20) AS n
""",
    "erasures": """
INSERT INTO erasures (id, account_id, requested_at, completed_at, image_count)
SELECT 'era_' || n, 'acc_' || 1 + n % 1000, done, done, 2 FROM (
    SELECT n, TIMESTAMPTZ '2026-11-22 12:00+00' - n * INTERVAL '30 days' / :rows AS done
    FROM generate_series(1, :rows / 10) AS n
) AS made
""",
    "erased_images": """
INSERT INTO erased_images (erasure_id, image_id, forget_at)
SELECT 'era_' || 1 + n / 2, 'img_gone_' || n, TIMESTAMPTZ '2026-11-22 12:00+00' + n * INTERVAL '30 days' / :rows
FROM generate_series(1, :rows / 5) AS n
""",
    "tombstones": """
INSERT INTO tombstones (erasure_id, account_id, epoch, salt, digest, expires_at)
SELECT 'era_' || n, 'acc_' || 1 + n % 1000, n, '\\x00', '\\x00',
       TIMESTAMPTZ '2026-11-22 12:00+00' + n * INTERVAL '10 minutes' / :rows
FROM generate_series(1, :rows / 50) AS n
""",
}

TABLES = {"accounts": ACCOUNTS, "images": IMAGES, "generations": GENERATIONS, **OTHERS}

INDEXES = """
SELECT indexname, indexdef FROM pg_indexes
WHERE tablename = :table AND indexname NOT IN (SELECT conname FROM pg_constraint)
"""


async def fill(engine: AsyncEngine, rows: int, tables: Iterable[str] = TABLES) -> None:
    """`rows` images of accounts `acc_acme` and `acc_other`, and of everything else what may go with so many.

    `tables` may leave some of it out, but not the accounts.
    """
    async with engine.begin() as connection:
        await connection.execute(text("SET LOCAL session_replication_role = replica"))  # looks up no foreign keys
        for table in tables:
            await _fill(connection, table, rows)
    async with engine.connect() as connection:
        await (await connection.execution_options(isolation_level="AUTOCOMMIT")).execute(text("VACUUM ANALYZE"))


async def _fill(connection: AsyncConnection, table: str, rows: int) -> None:
    """With its indexes made anew, as they were, once the rows are there: half the time."""
    indexes = (await connection.execute(text(INDEXES), {"table": table})).all()
    for name, _ in indexes:
        await connection.execute(text(f'DROP INDEX "{name}"'))
    await connection.execute(text(TABLES[table]), {"rows": rows, "photo": PHOTO})
    for _, definition in indexes:
        await connection.execute(text(definition))
