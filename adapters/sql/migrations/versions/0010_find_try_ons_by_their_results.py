"""Find the try-ons that made a customer's pictures, however many others an account has."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    """One that waits has no result, and is not in it."""
    has_result = sa.text("result_image_id IS NOT NULL")
    op.create_index(
        "ix_generations_result",
        "generations",
        ["account_id", "result_image_id"],
        sqlite_where=has_result,
        postgresql_where=has_result,
    )
