"""Policies by name and version; what makes a request that is sent twice count once."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

UNIQUE = "uq_screenings_idempotency_key"


def upgrade() -> None:
    """Make the table and the columns."""
    op.create_table(
        "policies",
        sa.Column("tenant", sa.String(63), nullable=False),
        sa.Column("name", sa.String(63), nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("content", sa.JSON, nullable=False),
        sa.Column("created_at", sa.String(32), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "name", "version", name="pk_policies"),
    )
    op.add_column("screenings", sa.Column("idempotency_key", sa.String(64)))
    op.add_column("screenings", sa.Column("request", sa.String(64)))
    op.create_index(UNIQUE, "screenings", ["tenant", "idempotency_key"], unique=True)


def downgrade() -> None:
    """Drop them."""
    op.drop_index(UNIQUE, "screenings")
    op.drop_column("screenings", "request")
    op.drop_column("screenings", "idempotency_key")
    op.drop_table("policies")
