"""Where the households' mail ends: in their mailbox, or, for one address in a hundred, nowhere.

Only addresses that the demo made up itself: what a visitor mails to an address of their own nobody else touches.
"""

from __future__ import annotations

import random
from datetime import date

from services.local.demo import households
from services.local.sandbox.mail import mailbox
from services.local.sandbox.message import Message
from services.local.sandbox.reports import delivered
from services.local.sandbox.webhook import Order

GONE = 0.01  # of the addresses
_ANY_DAY = date(2000, 1, 1)  # addresses do not depend on it


def is_household(address: str) -> bool:
    """Whether the demo made this address up."""
    customer = address.partition("@")[0].rpartition(".")[2]
    return address == households.make_up(customer, _ANY_DAY, []).email


def is_gone(address: str) -> bool:
    """Whether the mailbox no longer exists: the same answer in every run."""
    return random.Random(f"mailbox/{address}").random() < GONE and is_household(address)  # noqa: S311 - a simulation


def fate(message: Message) -> Order:
    """What a provider would report of a mail."""
    if any(is_gone(mailbox(address)) for address in message.mail.to):
        return Order(type="email.bounced", bounce_message="550 5.1.1 There is no such mailbox. (The demo.)")
    return delivered(message)
