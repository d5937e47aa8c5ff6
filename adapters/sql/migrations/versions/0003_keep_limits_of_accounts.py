"""Keep limits of accounts, and how much of them is used."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Add two columns, an index and a table; nothing that is there changes."""
    op.add_column("accounts", sa.Column("requests_per_minute", sa.Integer(), nullable=True))
    op.add_column("accounts", sa.Column("max_live_images", sa.Integer(), nullable=True))
    op.create_index("ix_images_account_state", "images", ["account_id", "state"], unique=False)
    is_postgres = op.get_bind().dialect.name == "postgresql"
    op.create_table(
        "rate_buckets",
        sa.Column("account_id", sa.String(length=40), nullable=False),
        sa.Column("bucket", sa.String(length=20), nullable=False),
        sa.Column("full_at_us", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"]),
        sa.PrimaryKeyConstraint("account_id", "bucket"),
        prefixes=["UNLOGGED"] if is_postgres else [],
    )
