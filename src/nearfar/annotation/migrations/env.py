"""Alembic's entry point; `nearfar.annotation.database.migrate` hands it a connection."""

from alembic import context

from nearfar.annotation.schema import metadata

context.configure(
    connection=context.config.attributes["connection"], target_metadata=metadata, transaction_per_migration=False
)
with context.begin_transaction():
    context.run_migrations()
