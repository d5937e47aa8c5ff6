"""Keep products and generations."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Add two tables; nothing that is there changes."""

    op.create_table(
        "products",
        sa.Column("account_id", sa.String(length=40), nullable=False),
        sa.Column("external_id", sa.String(length=256), nullable=False),
        sa.Column("images", sa.Text(), nullable=False),
        sa.Column("is_one_shot", sa.Boolean(), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"]),
        sa.PrimaryKeyConstraint("account_id", "external_id"),
    )
    op.create_index(op.f("ix_products_expires_at"), "products", ["expires_at"], unique=False)
    op.create_table(
        "generations",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("account_id", sa.String(length=40), nullable=False),
        sa.Column("status", sa.String(length=10), nullable=False),
        sa.Column("customer_id", sa.String(length=256), nullable=True),
        sa.Column("person_image_id", sa.String(length=40), nullable=True),
        sa.Column("garment_image_ids", sa.Text(), nullable=True),
        sa.Column("lease_id", sa.String(length=40), nullable=True),
        sa.Column("keep_for_days", sa.SmallInteger(), nullable=False),
        sa.Column("attempts", sa.SmallInteger(), nullable=False),
        sa.Column("engine", sa.String(length=20), nullable=True),
        sa.Column("result_image_id", sa.String(length=40), nullable=True),
        sa.Column("error_code", sa.String(length=40), nullable=True),
        sa.Column("error_message", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"]),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_generations_due_at", "generations", ["due_at"], unique=False)
    op.create_index(
        "ix_generations_customer",
        "generations",
        ["account_id", "customer_id"],
        unique=False,
        sqlite_where=sa.text("customer_id IS NOT NULL"),
        postgresql_where=sa.text("customer_id IS NOT NULL"),
    )
