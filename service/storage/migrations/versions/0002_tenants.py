"""Tenants, API keys, and an audit record that is chained and cannot be changed."""

import hashlib
import json

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

REFUSE = """
CREATE FUNCTION tunegate_audit_is_append_only() RETURNS trigger AS $$
BEGIN RAISE EXCEPTION 'audit_events is append-only'; END $$ LANGUAGE plpgsql
"""


def upgrade() -> None:
    """Give all that there is to the default tenant, and chain the record so far."""
    op.create_table(
        "api_keys",
        sa.Column("id", sa.String(12), nullable=False),
        sa.Column("tenant", sa.String(63), nullable=False),
        sa.Column("name", sa.String(100), nullable=False),
        sa.Column("hash", sa.String(64), nullable=False),
        sa.Column("scopes", sa.JSON, nullable=False),
        sa.Column("created_at", sa.String(32), nullable=False),
        sa.Column("expires_at", sa.String(32)),
        sa.Column("revoked_at", sa.String(32)),
        sa.Column("last_used_at", sa.String(32)),
        sa.PrimaryKeyConstraint("id", name="pk_api_keys"),
    )
    op.create_index("ix_api_keys_tenant", "api_keys", ["tenant"])
    tenant = sa.Column(
        "tenant", sa.String(63), nullable=False, server_default="default"
    )
    op.add_column("screenings", tenant)
    op.create_index("ix_screenings_tenant", "screenings", ["tenant", "number"])
    op.drop_index("ix_audit_events_screening", "audit_events")
    op.alter_column("audit_events", "screening", new_column_name="subject")
    op.create_index("ix_audit_events_subject", "audit_events", ["subject"])
    for name, length, default in (
        ("tenant", 63, "default"),
        ("key", 12, ""),
        ("hash", 64, ""),
    ):
        added = sa.Column(
            name, sa.String(length), nullable=False, server_default=default
        )
        op.add_column("audit_events", added)
    _chain(op.get_bind())
    _forbid(op.get_bind())


def _chain(connection: sa.Connection) -> None:
    """Hash the events so far, each with the one before (`service.storage.audit`)."""
    names = ("at", "action", "subject", "tenant", "key", "facts")
    columns: list[sa.ColumnClause[object]] = [
        sa.column(name) for name in ("number", "hash", *names[:-1])
    ]
    table = sa.table("audit_events", *columns, sa.column("facts", sa.JSON))
    before = "0" * 64
    rows = connection.execute(sa.select(table).order_by(table.c.number)).mappings()
    for row in rows.all():
        said = {name: row[name] for name in names}
        plain = json.dumps(said, sort_keys=True, separators=(",", ":"))
        before = hashlib.sha256(f"{before}{plain}".encode("ascii")).hexdigest()
        here = sa.update(table).where(table.c.number == row["number"])
        connection.execute(here.values(hash=before))


def _forbid(connection: sa.Connection) -> None:
    """Let the database itself refuse to change or remove an event."""
    if connection.dialect.name == "postgresql":
        op.execute(REFUSE)
        op.execute(
            "CREATE TRIGGER audit_events_append_only "
            "BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_events "
            "EXECUTE FUNCTION tunegate_audit_is_append_only()"
        )
        return
    for change in ("UPDATE", "DELETE"):
        op.execute(
            f"CREATE TRIGGER audit_events_no_{change.lower()} "
            f"BEFORE {change} ON audit_events "
            "BEGIN SELECT RAISE(ABORT, 'audit_events is append-only'); END"
        )


def downgrade() -> None:
    """Drop the keys, and whose things are."""
    if op.get_bind().dialect.name == "postgresql":
        op.execute("DROP TRIGGER audit_events_append_only ON audit_events")
        op.execute("DROP FUNCTION tunegate_audit_is_append_only()")
    else:
        for change in ("update", "delete"):
            op.execute(f"DROP TRIGGER audit_events_no_{change}")
    for name in ("hash", "key", "tenant"):
        op.drop_column("audit_events", name)
    op.drop_index("ix_audit_events_subject", "audit_events")
    op.alter_column("audit_events", "subject", new_column_name="screening")
    op.create_index("ix_audit_events_screening", "audit_events", ["screening"])
    op.drop_index("ix_screenings_tenant", "screenings")
    op.drop_column("screenings", "tenant")
    op.drop_table("api_keys")
