"""The first tables: datasets, screenings, audit events, executors."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "datasets",
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("size_bytes", sa.BigInteger, nullable=False),
        sa.Column("created_at", sa.String(32), nullable=False),
        sa.PrimaryKeyConstraint("digest", name="pk_datasets"),
    )
    op.create_table(
        "screenings",
        sa.Column("number", NUMBER, autoincrement=True, nullable=False),
        sa.Column("id", sa.String(40), nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("created_at", sa.String(32), nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("stage", sa.Text, nullable=False),
        sa.Column("done", sa.BigInteger, nullable=False),
        sa.Column("total", sa.BigInteger, nullable=False),
        sa.Column("outcome", sa.String(16)),
        sa.Column("fault_code", sa.String(100)),
        sa.Column("fault_message", sa.Text),
        sa.Column("started_at", sa.String(32)),
        sa.Column("finished_at", sa.String(32)),
        sa.Column("dataset", sa.String(64)),
        sa.Column("form", sa.String(8), nullable=False),
        sa.Column("policy", sa.JSON, nullable=False),
        sa.Column("recipe", sa.JSON, nullable=False),
        sa.Column("run_trial", sa.Boolean, nullable=False),
        sa.Column("report", sa.String(64)),
        sa.Column("deleted_at", sa.String(32)),
        sa.Column("purged_at", sa.String(32)),
        sa.PrimaryKeyConstraint("number", name="pk_screenings"),
        sa.UniqueConstraint("id", name="uq_screenings_id"),
        sa.ForeignKeyConstraint(
            ["dataset"], ["datasets.digest"], name="fk_screenings_dataset"
        ),
    )
    op.create_index("ix_screenings_dataset", "screenings", ["dataset"])
    op.create_index("ix_screenings_status", "screenings", ["status", "deleted_at"])
    op.create_table(
        "audit_events",
        sa.Column("number", NUMBER, autoincrement=True, nullable=False),
        sa.Column("at", sa.String(32), nullable=False),
        sa.Column("action", sa.String(32), nullable=False),
        sa.Column("screening", sa.String(40), nullable=False),
        sa.Column("facts", sa.JSON, nullable=False),
        sa.PrimaryKeyConstraint("number", name="pk_audit_events"),
    )
    op.create_index("ix_audit_events_screening", "audit_events", ["screening"])
    op.create_table(
        "executors",
        sa.Column("id", sa.String(80), nullable=False),
        sa.Column("host", sa.Text, nullable=False),
        sa.Column("pid", sa.Integer, nullable=False),
        sa.Column("version", sa.String(40), nullable=False),
        sa.Column("seen_at", sa.Float(53), nullable=False),
        sa.Column("stopped", sa.Boolean, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_executors"),
    )


def downgrade() -> None:
    """Drop them, with all they hold."""
    for table in ("executors", "audit_events", "screenings", "datasets"):
        op.drop_table(table)
