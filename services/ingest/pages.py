"""Pages that the links in mails open: small, for phones first, without a script."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any, Final, Literal

from fastapi.responses import HTMLResponse
from jinja2 import Environment, PackageLoader, StrictUndefined

# Who looks over a shoulder, a cache or a referrer must not learn a link that speaks for a customer.
HEADERS: Final = {"Cache-Control": "no-store", "Referrer-Policy": "no-referrer", "X-Robots-Tag": "noindex"}
_templates = Environment(
    loader=PackageLoader("services.ingest"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
)


def show(template: str, status: int = HTTPStatus.OK, **values: Any) -> HTMLResponse:
    """A page of `templates/`."""
    headers = HEADERS | ({"Retry-After": "60"} if status == HTTPStatus.SERVICE_UNAVAILABLE else {})
    return HTMLResponse(_templates.get_template(f"{template}.html").render(values), status, headers)


def broken() -> HTMLResponse:
    """For a link that was cut off or never ours."""
    return show("broken", HTTPStatus.NOT_FOUND)


def later(button: str, method: Literal["get", "post"] = "post") -> HTMLResponse:
    """For what could not be finished now; `button` is what to press again."""
    return show("later", HTTPStatus.SERVICE_UNAVAILABLE, button=button, method=method)
