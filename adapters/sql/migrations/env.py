"""Alembic's entry: runs the migrations on the connection that `adapters.sql.migrate` hands over."""

from alembic import context

from adapters.sql.schema import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
context.run_migrations()
