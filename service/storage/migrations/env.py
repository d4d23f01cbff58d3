"""What Alembic runs: the migrations, inside the connection it was handed."""

from alembic import context

from service.storage.tables import METADATA

context.configure(
    connection=context.config.attributes["connection"], target_metadata=METADATA
)
context.run_migrations()
