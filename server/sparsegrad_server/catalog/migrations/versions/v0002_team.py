"""What a team needs: quotas in one row, search, tags, protected aliases, expiry, an audit log."""

from __future__ import annotations

import json

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_TEXT = sa.String(length=500)
_TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Add tables and columns, and fill them from what is there."""
    _add_tables()
    _add_columns()
    op.drop_index("ix_jobs_calibration_id", "jobs")
    op.create_index("jobs_by_calibration", "jobs", ["calibration_id", "kind"], unique=True)
    _fill_namespaces()
    _fill_bases()
    op.create_index("ix_bases_model", "bases", ["model"])
    op.create_index("ix_bases_dataset", "bases", ["dataset"])
    op.create_index("calibrations_by_time", "calibrations", ["created"])
    op.create_index("versions_by_time", "versions", ["created"])


def _add_tables() -> None:
    op.create_table(
        "namespaces",
        sa.Column("name", _TEXT, nullable=False),
        sa.Column("bytes", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )
    op.create_table(
        "basis_groups",
        sa.Column("digest", _TEXT, nullable=False),
        sa.Column("name", _TEXT, nullable=False),
        sa.Column("d_out", sa.BigInteger(), nullable=False),
        sa.Column("d_in", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["digest"], ["bases.digest"]),
        sa.PrimaryKeyConstraint("digest", "name"),
    )
    op.create_index("basis_groups_by_shape", "basis_groups", ["d_out", "d_in"])
    op.create_table(
        "tags",
        sa.Column("namespace", _TEXT, nullable=False),
        sa.Column("name", _TEXT, nullable=False),
        sa.Column("version", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("tag", _TEXT, nullable=False),
        sa.ForeignKeyConstraint(
            ["namespace", "name", "version"],
            ["versions.namespace", "versions.name", "versions.version"],
        ),
        sa.PrimaryKeyConstraint("namespace", "name", "version", "tag"),
    )
    op.create_index("tags_by_tag", "tags", ["tag"])
    op.create_table(
        "audit",
        sa.Column("id", _TEXT, nullable=False),
        sa.Column("at", _TIME, nullable=False),
        sa.Column("token_id", _TEXT, nullable=True),
        sa.Column("token_name", _TEXT, nullable=False),
        sa.Column("namespace", _TEXT, nullable=True),
        sa.Column("action", _TEXT, nullable=False),
        sa.Column("target", _TEXT, nullable=False),
        sa.Column("status", sa.BigInteger(), nullable=False),
        sa.Column("request_id", _TEXT, nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("audit_by_time", "audit", ["at"])
    op.create_index("audit_by_namespace", "audit", ["namespace", "at"])
    op.create_table(
        "job_phases",
        sa.Column("kind", _TEXT, nullable=False),
        sa.Column("phase", _TEXT, nullable=False),
        sa.Column("count", sa.BigInteger(), nullable=False),
        sa.Column("seconds", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("kind", "phase"),
    )


def _add_columns() -> None:
    # What is there gets the default; new rows always say what they hold.
    false, nobody = sa.false(), sa.literal("")
    op.add_column("tokens", sa.Column("last_used", _TIME, nullable=True))
    op.add_column("calibrations", sa.Column("expires", _TIME, nullable=True))
    op.add_column("jobs", sa.Column("phase_began", _TIME, nullable=True))
    op.add_column("gradients", sa.Column("header", sa.Text(), nullable=True))
    with op.batch_alter_table("aliases") as aliases:
        aliases.add_column(
            sa.Column("protected", sa.Boolean(), nullable=False, server_default=false)
        )
    with op.batch_alter_table("versions") as versions:
        versions.alter_column("calibration_id", existing_type=_TEXT, nullable=True)
        versions.add_column(sa.Column("created_by", _TEXT, nullable=False, server_default=nobody))
        versions.add_column(sa.Column("pinned", sa.Boolean(), nullable=False, server_default=false))
        versions.add_column(sa.Column("deleted", _TIME, nullable=True))
    op.execute(
        "UPDATE versions SET created_by = COALESCE((SELECT created_by FROM calibrations "
        "WHERE calibrations.id = versions.calibration_id), '')"
    )
    with op.batch_alter_table("bases") as bases:
        bases.add_column(sa.Column("model", _TEXT, nullable=False, server_default=nobody))
        bases.add_column(sa.Column("dataset", _TEXT, nullable=False, server_default=nobody))


def _fill_namespaces() -> None:
    op.execute(
        "INSERT INTO namespaces (name, bytes) "
        "SELECT calibrations.namespace, COALESCE(SUM(gradients.bytes), 0) FROM calibrations "
        "LEFT JOIN gradients ON gradients.calibration_id = calibrations.id "
        "GROUP BY calibrations.namespace"
    )


def _fill_bases() -> None:
    connection = op.get_bind()
    change = sa.text("UPDATE bases SET model = :model, dataset = :dataset WHERE digest = :digest")
    add = sa.text(
        "INSERT INTO basis_groups (digest, name, d_out, d_in) "
        "VALUES (:digest, :name, :d_out, :d_in)"
    )
    for digest, text in connection.execute(sa.text("SELECT digest, manifest FROM bases")).all():
        manifest = json.loads(text)
        ids = {"model": manifest["model"]["id"], "dataset": manifest["dataset"]["id"]}
        connection.execute(change, {"digest": digest, **ids})
        for group in manifest["groups"]:
            shape = {name: group[name] for name in ("name", "d_out", "d_in")}
            connection.execute(add, {"digest": digest, **shape})
