"""Keep when an erasure was committed, for requests of which a proxy says when they began."""

import sqlalchemy as sa
from alembic import op

from adapters.sql.schema import UtcDateTime

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """Without a value, as the version before goes on writing it: the epoch alone decides then."""
    op.add_column("tombstones", sa.Column("erased_at", UtcDateTime(), nullable=True))
    op.create_index("ix_tombstones_erased_at", "tombstones", ["account_id", "erased_at"])
