"""One rate limit for all mailers that share the provider's account, kept as the instant of the next call."""

from __future__ import annotations

from typing import Final

from sqlalchemy import Connection, text

# The account is shared by all organizations.
EVERYBODY: Final = ""
# Mails a second that one mailer renders and records, whatever the provider would take.
FASTEST: Final = 10_000.0

# Takes the next places in the queue of calls and says in how many seconds the first comes. Mailers on several machines
# go by one clock, the database's. How fast it may go on is left for forecasts. A place that is lost with the database's
# machine costs nothing, so nobody waits for the disk.
RESERVE: Final = text("""
    INSERT INTO mail_rate AS rate (organization_id, provider, next_at, mails_per_second)
    VALUES (:organization_id, :provider, clock_timestamp() + make_interval(secs => :gap), :mails_per_second)
    ON CONFLICT (organization_id, provider) DO UPDATE
    SET next_at = greatest(rate.next_at, clock_timestamp()) + make_interval(secs => :gap),
        mails_per_second = excluded.mails_per_second
    RETURNING extract(epoch FROM rate.next_at - clock_timestamp()) - :gap, set_config('synchronous_commit', 'off', true)
""")

# No call of anybody's before so many seconds have passed.
HOLD: Final = text("""
    INSERT INTO mail_rate AS rate (organization_id, provider, next_at)
    VALUES (:organization_id, :provider, clock_timestamp() + make_interval(secs => :seconds))
    ON CONFLICT (organization_id, provider) DO UPDATE SET next_at = greatest(rate.next_at, excluded.next_at)
""")

# How many seconds until the next call may begin.
LEFT: Final = text("""
    SELECT extract(epoch FROM next_at - clock_timestamp()) FROM mail_rate
    WHERE organization_id = :organization_id AND provider = :provider
""")


class Rate:
    """The limit of one provider; `per_second` calls, spread evenly, of up to `mails_per_call` mails."""

    def __init__(self, provider: str, per_second: float, mails_per_call: int = 100) -> None:
        self._key = {"organization_id": EVERYBODY, "provider": provider}
        self.gap = 1 / per_second
        self._mails_per_second = min(per_second * mails_per_call, FASTEST)

    def reserve(self, connection: Connection, calls: int = 1) -> float:
        """Take so many calls, `gap` seconds apart, in a transaction of its own; how many seconds to wait before making
        the first.
        """
        given = {**self._key, "gap": self.gap * calls, "mails_per_second": self._mails_per_second}
        return max(0.0, float(connection.execute(RESERVE, given).scalar_one()))

    def hold(self, connection: Connection, seconds: float) -> None:
        """The provider wants to be left alone for so long."""
        connection.execute(HOLD, {**self._key, "seconds": seconds})

    def left(self, connection: Connection) -> float:
        """Seconds until anybody may call."""
        left = connection.execute(LEFT, self._key).scalar()
        return max(0.0, float(left)) if left is not None else 0.0
