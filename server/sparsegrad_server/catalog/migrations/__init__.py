"""Alembic's steps from one form of the catalog's tables to the next."""
