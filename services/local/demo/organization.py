"""The grocer of the demo. The data set is American, so it counts in dollars and lives in New York.

Households buy 63 times a year and spend 1,850 dollars on average: an ordinary shop's thresholds (10 visits) would make
everybody a regular, so the demo asks for a visit a week.
"""

from __future__ import annotations

ORGANIZATION_ID = "demo"
NAME = "Corner Grocers"
CURRENCY = "USD"
TIME_ZONE = "America/New_York"
SENDER_NAME = "Corner Grocers"
SENDER_EMAIL = "hello@example.com"
POSTAL_ADDRESS = "Corner Grocers, 1 Market Street, Cincinnati, OH 45202, USA"

# Minor units (cents) and visits. Of 2,469 households 12 % are VIPs, 7 % high spenders, 9 % at risk.
VIP_SPENT = 400_000
REGULAR_VISITS = 50
HIGH_SPENT = 150_000
