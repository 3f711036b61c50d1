"""The starting templates: campaigns with their coupons, as drafts that can be activated or sent as they are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from services.admin.coupon_models import NewCoupon, columns
from services.admin.starting_segments import Thresholds

GRANT_DAYS = 30


@dataclass(frozen=True, slots=True)
class Template:
    """`campaign` and `coupon` are what POST /v1/campaigns and /v1/coupons take."""

    id: str
    description: str
    campaign: dict[str, Any]
    coupon: dict[str, Any] | None = None

    def campaign_row(self) -> dict[str, Any]:
        """For the table `campaign`, without organization_id."""
        return {"campaign_id": self.id, **self.campaign}

    def coupon_row(self) -> dict[str, Any] | None:
        """For the table `coupon`, without organization_id."""
        if self.coupon is None:
            return None
        wanted = NewCoupon.model_validate(self.coupon)
        return {"code": wanted.code, **columns(wanted)}


def templates(thresholds: Thresholds) -> list[Template]:
    """In the order in which a shop needs them."""
    most = thresholds.vip_discount
    return [
        Template(
            "welcome",
            "To who has just become a customer, once.",
            _campaign("Welcome", "welcome", *_WELCOME)
            | {"trigger": _on_entering("new-customers", cool_down_days=365)}
            | _shared("WELCOME10"),
            _coupon(
                "WELCOME10", "10% for new customers", "percentage", 10, maximum_discount=most, limit_per_customer=1
            ),
        ),
        Template(
            "we-miss-you",
            "To who has not come for a while, at most every 90 days. Each mail has a code of its own.",
            _campaign("We miss you", "follow_up", *_WE_MISS_YOU)
            | {"trigger": _on_entering("at-risk", cool_down_days=90)}
            | _unique("COMEBACK15"),
            _coupon("COMEBACK15", "15% for coming back", "percentage", 15, maximum_discount=most, unique_only=True),
        ),
        Template(
            "vip-thanks",
            "To who has just become a VIP.",
            _campaign("VIP thanks", "promotional", *_VIP_THANKS)
            | {"trigger": _on_entering("vip-customers", cool_down_days=365)}
            | _shared("VIP500"),
            _coupon("VIP500", "A thank-you to VIPs", "fixed", most, minimum_purchase=4 * most, limit_per_customer=1),
        ),
        Template(
            "birthday",
            "On the birthday. Each mail has a code of its own.",
            _campaign("Birthday", "birthday", *_BIRTHDAY)
            | {"trigger": {"on": "birthday", "days_before": 0}}
            | _unique("BIRTHDAY20"),
            _coupon("BIRTHDAY20", "20% on the birthday", "percentage", 20, maximum_discount=most, unique_only=True),
        ),
        Template(
            "anniversary",
            "Each year on the day on which somebody became a customer. Each mail has a code of its own.",
            _campaign("Anniversary", "anniversary", *_ANNIVERSARY)
            | {"trigger": {"on": "anniversary", "days_before": 0}}
            | _unique("THANKYOU10"),
            _coupon("THANKYOU10", "10% on the anniversary", "percentage", 10, maximum_discount=most, unique_only=True),
        ),
        Template(
            "newsletter",
            "To everybody who agreed, when you send it: fill in your news first.",
            _campaign("Newsletter", "newsletter", *_NEWSLETTER),
        ),
    ]


def _campaign(name: str, kind: str, subject: str, preview_text: str, body: str) -> dict[str, Any]:
    return {"name": name, "type": kind, "subject": subject, "preview_text": preview_text, "body": body}


def _on_entering(segment_id: str, cool_down_days: int) -> dict[str, Any]:
    return {"on": "segment_entered", "segment_id": segment_id, "cool_down_days": cool_down_days, "delay_hours": 0}


def _shared(code: str) -> dict[str, Any]:
    return {"coupon_code": code, "unique_codes": False, "grant_days": GRANT_DAYS}


def _unique(code: str) -> dict[str, Any]:
    """What comes again needs a code for each mail: a limit per customer would end it with the first one used."""
    return {"coupon_code": code, "unique_codes": True, "grant_days": GRANT_DAYS}


def _coupon(code: str, name: str, kind: str, value: int, **rules: Any) -> dict[str, Any]:
    return {"code": code, "name": name, "type": kind, "value": value, **rules}


_CODE = """\
**{coupon_code}**

Show it at the till{until}. It takes **{discount_value}** off.
""".replace("{until}", ", until {coupon_expiry|further notice}")

_WELCOME = (
    "Welcome to {organization_name}, {first_name|and thank you}",
    "Thank you for your first visit: a little something for the next one.",
    f"""\
# Welcome, {{first_name|and thank you}}!

It was good to have you at **{{organization_name}}**, and we would like to see you again soon. So here is something
for your next visit:

{_CODE}
We write when there is something worth telling: a new arrival, a good offer, a day to celebrate. How often is up to you:
[choose here]({{preferences_url}}).

See you soon,\\
{{organization_name}}
""",
)

_WE_MISS_YOU = (
    "{first_name|Hello}, we have not seen you for a while",
    "Your favourites are still here, and something for coming back.",
    f"""\
# Hello {{first_name|again}},

your last visit to **{{organization_name}}** was on {{last_visit_date|a day long past}}, and we have missed you since.

Come by when you are near: your favourites are still here, some new things too, and this is for coming back:

{_CODE}
If something was not as it should have been, just answer this mail. We read every reply.

Until soon,\\
{{organization_name}}
""",
)

_VIP_THANKS = (
    "{first_name|Dear customer}, thank you for {visit_count} visits",
    "You are one of the people who keep us going.",
    f"""\
# Thank you, {{first_name|dear customer}}!

You came to see us **{{visit_count}} times**: few came more often. People like you keep us going, and we would like to
give something back:

{_CODE}
Warmly,\\
{{organization_name}}
""",
)

_BIRTHDAY = (
    "Happy birthday, {first_name|dear customer}!",
    "All the best from all of us, and a present.",
    f"""\
# Happy birthday, {{first_name|dear customer}}!

All of us at **{{organization_name}}** wish you a wonderful day and a year full of good things. This is our present:

{_CODE}
Come by and celebrate with us.

Warmly,\\
{{organization_name}}
""",
)

_ANNIVERSARY = (
    "A year with you, {first_name|dear customer}",
    "Thank you for staying with us.",
    f"""\
# It is that day again, {{first_name|dear customer}}

On this day you came to **{{organization_name}}** for the first time. Thank you for staying with us. To the next year:

{_CODE}
Warmly,\\
{{organization_name}}
""",
)

_NEWSLETTER = (
    "News from {organization_name}",
    "What is new this month.",
    """\
# What is new, {first_name|dear customer}

Write here what people should know first, in two or three sentences.

## A new arrival

Tell what it is, why you chose it, and when it can be had.

## Save the date

- Day and hour
- Place
- What will happen

A bold link on a line of its own becomes a button: `**[Come and see](https://your-shop.example)**`.

See you soon,\\
{organization_name}
""",
)
