"""Give keys scopes, an end, a limit of their own, and a note of their last use."""

import sqlalchemy as sa
from alembic import op

from adapters.sql.schema import UtcDateTime

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Add four columns without a value: every key that is there may do all that it could."""
    op.add_column("api_keys", sa.Column("scopes", sa.String(length=100), nullable=True))
    op.add_column("api_keys", sa.Column("expires_at", UtcDateTime(), nullable=True))
    op.add_column("api_keys", sa.Column("last_used_at", UtcDateTime(), nullable=True))
    op.add_column("api_keys", sa.Column("requests_per_minute", sa.Integer(), nullable=True))
