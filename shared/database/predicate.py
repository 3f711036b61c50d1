"""From criteria to SQL over the real tables: what previews, backfills, audiences and `verify` ask."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ColumnElement, and_

from shared.database.tables import customer, ledger, static_member
from shared.domain.criteria import Criteria, Tables


def predicate(criteria: Criteria, organization_id: str, time_zone: str, now: datetime) -> ColumnElement[bool]:
    """True for the organization's customers that meet the criteria at `now`; `time_zone` is the organization's."""
    tables = Tables(customer, static_member, ledger, organization_id, time_zone)
    return and_(customer.c.organization_id == organization_id, criteria.where(tables, now))
