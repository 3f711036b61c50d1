"""The console's pages, one file a tab."""

from services.admin.console.routes import (
    activity,
    analytics,
    customer_edits,
    customers,
    overview,
    results,
    segment_editing,
    segments,
    settings,
    signing,
    static,
)

# Edits of customers before customers, whose last path takes all that is left.
ROUTERS = (
    static.router,
    signing.router,
    overview.router,
    results.router,
    analytics.router,
    activity.router,
    settings.router,
    customer_edits.router,
    customers.router,
    segment_editing.router,
    segments.router,
)
