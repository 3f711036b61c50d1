"""The grocer of the demo. The data set is American, so it counts in dollars and lives in New York.

Households buy 63 times a year and spend 1,850 dollars on average: an ordinary shop's thresholds (10 visits) would make
everybody a regular, so the demo asks for a visit a week.
"""

from __future__ import annotations

from services.admin.starting_segments import Thresholds

ORGANIZATION_ID = "demo"
NAME = "Corner Grocers"
CURRENCY = "USD"
TIME_ZONE = "America/New_York"
SENDER_EMAIL = "hello@example.com"
POSTAL_ADDRESS = "Corner Grocers, 1 Market Street, Cincinnati, OH 45202, USA"

# Of 2,469 households 12 % are VIPs, 7 % high spenders, 9 % at risk.
THRESHOLDS = Thresholds(vip_spent=4_000_00, vip_visits=50, high_spent=1_500_00, vip_discount=5_00)
