"""The console's pages, one file a tab."""

from services.admin.console.routes import (
    activity,
    analytics,
    campaign_editor,
    campaign_mails,
    campaigns,
    coupon_codes,
    coupon_editor,
    coupons,
    customer_edits,
    customer_imports,
    customers,
    overview,
    segment_editor,
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
    analytics.router,
    activity.router,
    settings.router,
    customer_edits.router,
    customer_imports.router,
    customers.router,
    segment_editor.router,
    segments.router,
    coupon_editor.router,
    coupons.router,
    coupon_codes.router,
    campaign_editor.router,
    campaigns.router,
    campaign_mails.router,
)
