"""What the dashboard needs: browsers that have signed in, and what jobs said."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_TEXT = sa.String(length=500)
_TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Add the tables; there is nothing to fill them with."""
    op.create_table(
        "sessions",
        sa.Column("hash", _TEXT, nullable=False),
        sa.Column("token_id", _TEXT, nullable=False),
        sa.Column("created", _TIME, nullable=False),
        sa.Column("expires", _TIME, nullable=False),
        sa.ForeignKeyConstraint(["token_id"], ["tokens.id"]),
        sa.PrimaryKeyConstraint("hash"),
    )
    op.create_index("sessions_by_expiry", "sessions", ["expires"])
    op.create_table(
        "job_lines",
        sa.Column("job_id", _TEXT, nullable=False),
        sa.Column("number", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("at", _TIME, nullable=False),
        sa.Column("level", _TEXT, nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"]),
        sa.PrimaryKeyConstraint("job_id", "number"),
    )
