"""Examples and shapes that the OpenAPI document of ingest shows."""

from __future__ import annotations

from typing import Any, Final

SALE: Final[dict[str, Any]] = {
    "specversion": "1.0",
    "id": "s1-t7-000042",
    "source": "/demo/stores/s1/terminals/t7",
    "type": "sale.completed",
    "time": "2026-11-22T10:15:00Z",
    "data": {
        "organization_id": "demo",
        "store_id": "s1",
        "terminal_id": "t7",
        "sale_id": "R-0042",
        "customer_id": "c-77",
        "currency": "INR",
        "total": 9000,
        "discount": 500,
        "coupon_codes": ["WELCOME10"],
        "lines": [{"product_id": "p-1", "category": "Bakery", "quantity": 2, "unit_price": 4750, "total": 9500}],
    },
}
_EVENT: Final = {
    "type": "object",
    "required": ["specversion", "id", "source", "type", "time", "data"],
    "description": "A CloudEvent 1.0; `data` by its type, as schemas/events describes it.",
}
REQUEST: Final[dict[str, Any]] = {
    "required": True,
    "content": {
        "application/json": {
            "schema": {"oneOf": [_EVENT, {"type": "array", "items": _EVENT, "maxItems": 1000}]},
            "examples": {
                "one": {"summary": "One sale", "value": SALE},
                "batch": {"summary": "A batch", "value": [SALE, SALE | {"id": "s1-t7-000043"}]},
            },
        },
        "application/x-ndjson": {"schema": {"type": "string", "description": "One event a line."}},
    },
}
_REJECTED: Final = [
    {"index": 3, "id": "s1-t7-000045", "reason": "data.total: must be the lines' totals less the discount, 9000; got 1"}
]
_LIST: Final = {
    "type": "array",
    "items": {
        "type": "object",
        "required": ["index", "id", "reason"],
        "properties": {
            "index": {"type": "integer", "description": "Its place in the request, from 0."},
            "id": {"type": ["string", "null"]},
            "reason": {"type": "string", "description": "The field and what to do."},
        },
    },
}
ACCEPTED: Final[dict[str, Any]] = {
    "description": "Kafka holds what was accepted.",
    "content": {
        "application/json": {
            "schema": {
                "type": "object",
                "required": ["accepted", "rejected"],
                "properties": {"accepted": {"type": "integer"}, "rejected": _LIST},
            },
            "example": {"accepted": 998, "rejected": _REJECTED},
        }
    },
}
REJECTED: Final[dict[str, Any]] = {
    "description": "No event was good.",
    "content": {
        "application/problem+json": {
            "schema": {
                "type": "object",
                "required": ["type", "title", "status", "rejected"],
                "properties": {
                    "type": {"type": "string"},
                    "title": {"type": "string"},
                    "status": {"type": "integer"},
                    "detail": {"type": "string"},
                    "rejected": _LIST,
                },
            },
            "example": {
                "type": "about:blank",
                "title": "Bad Request",
                "status": 400,
                "detail": _REJECTED[0]["reason"],
                "accepted": 0,
                "rejected": _REJECTED,
            },
        }
    },
}
