"""Commits are told to Kafka by the batch: a row of the outbox names all of a transaction."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0014"
down_revision = "0013"

ID = sa.Text(collation="C")
GATHER = """
INSERT INTO redemption_outbox (organization_id, codes, sales)
SELECT organization_id, array_agg(code), array_agg(sale_id) FROM told GROUP BY organization_id
"""
SPREAD = """
INSERT INTO redemption_outbox SELECT DISTINCT organization_id, code, sale_id
FROM told CROSS JOIN LATERAL unnest(codes, sales) AS t (code, sale_id)
"""


def upgrade() -> None:
    _set_aside()
    op.create_table(
        "redemption_outbox",
        sa.Column("organization_id", ID, nullable=False),
        sa.Column("batch_id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("codes", postgresql.ARRAY(ID), nullable=False),
        sa.Column("sales", postgresql.ARRAY(ID), nullable=False, comment="each with the code of the same place"),
        sa.PrimaryKeyConstraint("organization_id", "batch_id", name=op.f("redemption_outbox_pkey")),
        comment="Batches of commits whose coupon.redeemed is not yet in Kafka.",
    )
    op.execute(GATHER)
    op.drop_table("told")


def downgrade() -> None:
    _set_aside()
    op.create_table(
        "redemption_outbox",
        sa.Column("organization_id", ID, nullable=False),
        sa.Column("code", ID, nullable=False),
        sa.Column("sale_id", ID, nullable=False),
        sa.PrimaryKeyConstraint("organization_id", "code", "sale_id", name=op.f("redemption_outbox_pkey")),
        comment="Commits whose coupon.redeemed is not yet in Kafka.",
    )
    op.execute(SPREAD)
    op.drop_table("told")


def _set_aside() -> None:
    op.rename_table("redemption_outbox", "told")
    op.execute("ALTER INDEX redemption_outbox_pkey RENAME TO told_pkey")
