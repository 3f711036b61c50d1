"""How a database that is away shows itself."""

from __future__ import annotations

from typing import Final

from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

# To be caught where an outage must not be the end: no connection, a connection lost, none free in time.
AWAY: Final = (OperationalError, InterfaceError, PoolTimeoutError)
