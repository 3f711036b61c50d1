"""Topics and their names, for who needs no client of Kafka's."""

from __future__ import annotations

from enum import StrEnum

from shared.settings import Settings


class Topic(StrEnum):
    """Every topic, by its published name."""

    SALES = "pos.sales.v1"
    COUPONS = "pos.coupons.v1"
    CUSTOMERS = "pos.customers.v1"
    SEGMENTS = "crm.segments.v1"
    MAIL = "crm.mail.v1"
    DEAD_LETTERS = "crm.dead-letter.v1"

    def on(self, settings: Settings) -> str:
        """The name on this broker, with the prefix that keeps installations apart."""
        return settings.topic_prefix + self.value
