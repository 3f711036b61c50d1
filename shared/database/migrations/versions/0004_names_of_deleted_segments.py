"""A segment that is being deleted keeps its name, which is free for another one all the same."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.drop_constraint("segment_organization_id_name_key", "segment")
    op.create_index(
        "segment_name_key",
        "segment",
        ["organization_id", "name"],
        unique=True,
        postgresql_where=sa.text("state <> 'deleting'"),
    )


def downgrade() -> None:
    op.drop_index("segment_name_key", "segment")
    op.create_unique_constraint("segment_organization_id_name_key", "segment", ["organization_id", "name"])
