"""Messages that were put back under the id of somebody who was merged meanwhile: they go on to who that is now, as what
waited at the merge did.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from sqlalchemy import Connection, text

from shared.database.arrays import array
from shared.database.merged_mail import MOVE, moving

# Who these customers are in the end, and everybody else who is that one.
MERGED: Final = text("""
    SELECT root_customer_id, array_agg(customer_id) FROM customer_merge
    WHERE organization_id = :organization_id AND root_customer_id IN (
        SELECT root_customer_id FROM customer_merge
        WHERE organization_id = :organization_id AND customer_id = ANY(CAST(:customers AS text[]))
            AND customer_id <> root_customer_id
    )
    GROUP BY root_customer_id ORDER BY root_customer_id
""")


def hand_over(connection: Connection, organization_id: str, customers: Sequence[str]) -> bool:
    """Give what waits for any of these who were merged to whom they are, once; whether anything moved."""
    given = {"organization_id": organization_id, "customers": array(customers)}
    moved = 0
    for root, ids in connection.execute(MERGED, given).all():
        moved += connection.exec_driver_sql(MOVE, moving(organization_id, [root, *ids], root)).rowcount
    return moved > 0
