"""Batches of screenings; how long each stage of a screening took."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
COLUMNS: dict[str, Any] = {
    "batch": sa.String(40),
    "stage_at": sa.String(32),
    "stages": sa.JSON,
}
UNIQUE = "uq_batches_idempotency_key"


def upgrade() -> None:
    """Make the table and the columns."""
    op.create_table(
        "batches",
        sa.Column("number", NUMBER, autoincrement=True, nullable=False),
        sa.Column("id", sa.String(40), nullable=False),
        sa.Column("tenant", sa.String(63), nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("size", sa.Integer, nullable=False),
        sa.Column("created_at", sa.String(32), nullable=False),
        sa.Column("cancelled_at", sa.String(32)),
        sa.Column("idempotency_key", sa.String(64)),
        sa.Column("request", sa.String(64)),
        sa.PrimaryKeyConstraint("number", name="pk_batches"),
        sa.UniqueConstraint("id", name="uq_batches_id"),
    )
    op.create_index("ix_batches_tenant", "batches", ["tenant", "number"])
    op.create_index(UNIQUE, "batches", ["tenant", "idempotency_key"], unique=True)
    for name, kind in COLUMNS.items():
        op.add_column("screenings", sa.Column(name, kind))
    op.create_index("ix_screenings_batch", "screenings", ["batch"])


def downgrade() -> None:
    """Drop them."""
    op.drop_index("ix_screenings_batch", "screenings")
    for name in COLUMNS:
        op.drop_column("screenings", name)
    op.drop_table("batches")
