"""The console's pages, one file a tab."""

from services.admin.console.routes import activity, overview, settings, signing, static

ROUTERS = (static.router, signing.router, overview.router, activity.router, settings.router)
