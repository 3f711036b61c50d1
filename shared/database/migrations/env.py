"""Alembic's entry: runs revisions on the connection that shared.database.migrate hands over."""

from alembic import context

from shared.database.tables import metadata

connection = context.config.attributes["connection"]
context.configure(connection=connection, target_metadata=metadata)
with context.begin_transaction():
    context.run_migrations()
