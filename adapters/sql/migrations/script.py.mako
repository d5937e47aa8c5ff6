"""${message}"""

import sqlalchemy as sa
from alembic import op

revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}


def upgrade() -> None:
    """Say what it changes; forward only, and safe while the previous version still serves."""
    ${upgrades if upgrades else "raise AssertionError('an empty migration')"}
