"""Which mails of a batch were taken, noted while the others are still on their way: for providers that know no keys."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Self

import psycopg
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import PoolProxiedConnection

from services.mailer.batches import LEASE, Batch

# Adds to what is done of a batch, if it is still this sender's, and says whether its campaign still runs. It runs for
# every few mails, so it goes straight to the driver, and moves the lease, which has an index, only when it must.
NOTE: Final = """
    UPDATE mail_batch SET done = done || %(more)s::smallint[],
        lease_until = CASE WHEN lease_until < now() + %(lease)s / 2 THEN now() + %(lease)s ELSE lease_until END
    FROM campaign
    WHERE mail_batch.organization_id = %(organization_id)s AND batch_id = %(batch_id)s
        AND mail_batch.state = 'claimed' AND owner = %(owner)s
        AND campaign.organization_id = %(organization_id)s AND campaign.campaign_id = mail_batch.campaign_id
    RETURNING campaign.state IN ('sending', 'active')
"""


class Noting:
    """`left`: the batch's positions of the mails that the provider was given. Connects at the first note."""

    def __init__(self, database: Engine, batch: Batch, left: Sequence[int], owner: str) -> None:
        self._database = database
        self._left = left
        self._given = {
            "organization_id": batch.organization_id,
            "batch_id": batch.batch_id,
            "owner": owner,
            "lease": LEASE,
        }
        self._pooled: PoolProxiedConnection | None = None
        self._cursor: psycopg.Cursor[Any] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._pooled is not None:
            try:
                self._driver.autocommit = False
                self._pooled.close()
            except (psycopg.Error, SQLAlchemyError):
                self._pooled.invalidate()

    def __call__(self, taken: Sequence[int]) -> bool:
        """Whether to go on: not without a database, nor once the campaign is stopped."""
        more = f"{{{','.join([str(self._left[n]) for n in taken])}}}"
        try:
            if self._cursor is None:
                self._pooled = self._database.raw_connection()
                self._driver.autocommit = True
                self._cursor = self._driver.cursor()
            row = self._cursor.execute(NOTE, {**self._given, "more": more}, prepare=True).fetchone()
        except (psycopg.Error, SQLAlchemyError):
            return False
        return row is not None and bool(row[0])

    @property
    def _driver(self) -> psycopg.Connection[Any]:
        driver = None if self._pooled is None else self._pooled.driver_connection
        if not isinstance(driver, psycopg.Connection):
            raise psycopg.InterfaceError("The connection is gone.")
        return driver
