"""Keep what is known of products, how many try-ons accounts have left, and which requests were answered."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Add columns without values; an earlier version can still read and write beside them."""
    op.add_column("products", sa.Column("pictures", sa.Text(), nullable=True))
    op.add_column("products", sa.Column("title", sa.Text(), nullable=True))
    op.add_column("products", sa.Column("description", sa.Text(), nullable=True))
    op.add_column("products", sa.Column("is_registered", sa.Boolean(), nullable=True))
    for name in ("created_at", "updated_at", "last_used_at", "renew_at"):
        op.add_column("products", sa.Column(name, sa.DateTime(timezone=True), nullable=True))
    with op.batch_alter_table("products") as products:
        products.alter_column("expires_at", existing_type=sa.DateTime(timezone=True), nullable=True)
    op.create_index(op.f("ix_products_renew_at"), "products", ["renew_at"], unique=False)
    op.create_index("ix_generations_account", "generations", ["account_id", "created_at", "id"], unique=False)
    op.add_column("generations", sa.Column("has_credit", sa.Boolean(), nullable=True))
    op.add_column("accounts", sa.Column("credits", sa.Integer(), nullable=True))
    op.create_index("ix_images_account_live", "images", ["account_id", "state", "keep_for_days"], unique=False)
    op.drop_index("ix_images_account_state", "images")
    op.create_table(
        "idempotency_keys",
        sa.Column("account_id", sa.String(length=40), nullable=False),
        sa.Column("key_digest", sa.LargeBinary(), nullable=False),
        sa.Column("fingerprint", sa.LargeBinary(), nullable=False),
        sa.Column("customer_id", sa.String(length=256), nullable=True),
        sa.Column("result", sa.Text(), nullable=True),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"]),
        sa.PrimaryKeyConstraint("account_id", "key_digest"),
    )
    op.create_index(op.f("ix_idempotency_keys_due_at"), "idempotency_keys", ["due_at"], unique=False)
    op.create_index(
        "ix_idempotency_keys_customer",
        "idempotency_keys",
        ["account_id", "customer_id"],
        unique=False,
        sqlite_where=sa.text("customer_id IS NOT NULL"),
        postgresql_where=sa.text("customer_id IS NOT NULL"),
    )
    # The pictures of products that are there are looked at once, at the first purge.
    op.execute("UPDATE products SET renew_at = expires_at")
