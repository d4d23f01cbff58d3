"""How soon a screening is to be worked on."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the column; what there is had no choice."""
    priority = sa.Column(
        "priority", sa.String(8), nullable=False, server_default="normal"
    )
    op.add_column("screenings", priority)


def downgrade() -> None:
    """Drop it."""
    op.drop_column("screenings", "priority")
