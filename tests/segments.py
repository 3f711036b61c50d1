"""Organizations with segments, as the admin service would have made them."""

from __future__ import annotations

from typing import Any

import psycopg

SEGMENTS = {
    "vip": {
        "all": [
            {"field": "total_spent", "op": "gte", "value": 10_000},
            {"field": "visit_count", "op": "gte", "value": 3},
        ]
    },
    "at-risk": {"field": "last_visit", "op": "more_than_ago", "days": 60},
    "new": {
        "all": [
            {"field": "visit_count", "op": "between", "value": [1, 3]},
            {"field": "registered", "op": "within_last", "days": 30},
        ]
    },
    "tagged": {"field": "tags", "op": "has_any", "value": ["VIP"]},
}


def add_organization(connection: psycopg.Connection[Any], organization_id: str, segments: dict[str, Any]) -> None:
    """With a live segment for each criteria, in the slots from 0 on."""
    connection.execute(
        "INSERT INTO organization (organization_id, name, currency, time_zone) VALUES (%s, %s, 'USD', 'UTC')",
        [organization_id, organization_id],
    )
    for slot, (segment_id, criteria) in enumerate(segments.items()):
        connection.execute(
            "INSERT INTO segment (organization_id, segment_id, name, kind, criteria, slot) VALUES (%s, %s, %s, 'dynamic', %s, %s)",
            [organization_id, segment_id, segment_id, psycopg.types.json.Jsonb(criteria), slot],
        )
