"""Admission hooks

Revision ID: 0005
Revises: 0004
"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "hook_authorities",
        sa.Column("name", sa.String(length=20), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("certificate_pem", sa.Text(), nullable=False),
        sa.Column("key_encrypted", sa.LargeBinary(), nullable=False),
        sa.Column("former_pem", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_hook_authorities")),
    )
    op.create_table(
        "snap_hooks",
        sa.Column("name", sa.String(length=63), nullable=False),
        sa.Column("cluster_name", sa.String(length=63), nullable=False),
        sa.Column("webhook_url", sa.String(length=500), nullable=False),
        sa.Column("path", sa.String(length=500), nullable=False),
        sa.Column("namespace", sa.String(length=63), nullable=False),
        sa.Column("state", sa.String(length=20), nullable=False),
        sa.Column("cert_expiry_days", sa.Integer(), nullable=False),
        sa.Column("wait_s", sa.Integer(), nullable=False),
        sa.Column("max_age_s", sa.BigInteger(), nullable=False),
        sa.Column("pull_secrets", sa.JSON(), nullable=False),
        sa.Column("certificate_pem", sa.Text(), nullable=False),
        sa.Column("key_encrypted", sa.LargeBinary(), nullable=True),
        sa.Column("certificate_version", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["cluster_name"], ["clusters.name"], name=op.f("fk_snap_hooks_cluster_name")),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_snap_hooks")),
        sa.UniqueConstraint("path", name=op.f("uq_snap_hooks_path")),
    )


def downgrade() -> None:
    op.drop_table("snap_hooks")
    op.drop_table("hook_authorities")
