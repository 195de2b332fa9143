"""How Alembic runs here: inside the one transaction that `Catalog.migrate` has begun."""

from alembic import context

from sparsegrad_server.catalog.tables import Table

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Table.metadata,
    # Ours are real transactions on SQLite too: a kill leaves the old tables, never half of each.
    transactional_ddl=True,
)
context.run_migrations()
