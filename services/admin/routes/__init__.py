"""The routes, one file a noun: they read the request, open the transaction and choose the status."""

from services.admin.routes import (
    analytics,
    audit_log,
    campaigns,
    coupons,
    customer_history,
    customers,
    keys,
    organization,
    segments,
    suppressions,
    templates,
)

# customer_history first: the path of one customer takes everything that is left, since an id may hold a slash.
ROUTERS = (
    customer_history.router,
    customers.router,
    segments.router,
    coupons.router,
    campaigns.router,
    templates.router,
    analytics.router,
    suppressions.router,
    organization.router,
    keys.router,
    audit_log.router,
)
