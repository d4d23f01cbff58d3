"""The URL of a dataset that is still to be fetched."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the column."""
    op.add_column("screenings", sa.Column("source", sa.LargeBinary))


def downgrade() -> None:
    """Drop it."""
    op.drop_column("screenings", "source")
