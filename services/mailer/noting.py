"""Which mails of a batch were taken, noted while the others are still on their way: for providers that know no keys."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Self

from sqlalchemy import Connection, Engine, text

from services.mailer.batches import LEASE, Batch
from services.mailer.rounds import TRANSIENT
from shared.clock import Clock

# Adds to what is done of a batch, if it is still this sender's, and says whether its campaign still runs.
NOTE: Final = text("""
    UPDATE mail_batch SET done = done || CAST(:more AS smallint[]), lease_until = :lease_until
    FROM campaign
    WHERE mail_batch.organization_id = :organization_id AND batch_id = :batch_id
        AND mail_batch.state = 'claimed' AND owner = :owner
        AND campaign.organization_id = :organization_id AND campaign.campaign_id = mail_batch.campaign_id
    RETURNING campaign.state IN ('sending', 'active')
""")


class Noting:
    """`left`: the batch's positions of the mails that the provider was given. Connects at the first note."""

    def __init__(self, database: Engine, batch: Batch, left: Sequence[int], owner: str, clock: Clock) -> None:
        self._database = database
        self._left = left
        self._clock = clock
        self._given = {"organization_id": batch.organization_id, "batch_id": batch.batch_id, "owner": owner}
        self._connection: Connection | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._connection is not None:
            self._connection.close()

    def __call__(self, taken: Sequence[int]) -> bool:
        """Whether to go on: not without a database, nor once the campaign is stopped."""
        more = f"{{{','.join([str(self._left[n]) for n in taken])}}}"
        try:
            if self._connection is None:
                connection = self._database.connect()
                self._connection = connection.execution_options(isolation_level="AUTOCOMMIT")
            given = {**self._given, "more": more, "lease_until": self._clock() + LEASE}
            return bool(self._connection.execute(NOTE, given).scalar())
        except TRANSIENT:
            return False
