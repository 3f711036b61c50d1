"""The console's pages, one file a tab."""

from services.admin.console.routes import activity, customer_edits, customers, overview, settings, signing, static

# Edits of customers before customers, whose last path takes all that is left.
ROUTERS = (
    static.router,
    signing.router,
    overview.router,
    activity.router,
    settings.router,
    customer_edits.router,
    customers.router,
)
