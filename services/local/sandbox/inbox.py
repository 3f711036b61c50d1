"""The inbox page. Mail content is hostile: templates escape it, and the policies below let none of it run."""

from __future__ import annotations

import re
import secrets
from urllib.parse import urlencode

import jinja2
from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from services.local.sandbox.answer import RefusedError
from services.local.sandbox.faults import Faults
from services.local.sandbox.mail import Mail, as_list
from services.local.sandbox.message import iso
from services.local.sandbox.messages import number
from services.local.sandbox.store import Filter, Store
from services.local.sandbox.webhook import first_link

ROWS = 50
_PREVIEW = 160
_LOOKED_AT = 20_000  # characters of HTML searched for a preview
_UNSEEN = re.compile(r"<(style|script|head|title)\b.*?(</\1\s*>|$)", re.IGNORECASE | re.DOTALL)

_POLICY = (
    "default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; img-src data:; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
# The frame with the mail inherits this one: its styles and pictures show, scripts, forms and frames do not.
_MAIL_POLICY = (
    "default-src 'none'; script-src 'nonce-{nonce}'; style-src 'unsafe-inline'; img-src http: https: data:; "
    "font-src https: data:; connect-src 'self'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
)
_EVENTS = (
    ("email.delivered", "Delivered"),
    ("email.opened", "Opened"),
    ("email.clicked", "Clicked"),
    ("email.bounced", "Bounced"),
    ("email.complained", "Complained"),
)


class Inbox:
    """Lists mails and shows one."""

    def __init__(self, store: Store, faults: Faults) -> None:
        self._store = store
        self._faults = faults
        self._pages = jinja2.Environment(
            loader=jinja2.PackageLoader(__package__, "pages"),
            autoescape=True,
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._pages.filters["iso"] = iso
        self._pages.filters["label"] = lambda event: event.removeprefix("email.").replace("_", " ")

    async def list(self, request: Request) -> Response:
        search = request.query_params.get("search", "").strip()
        cursor = number(request.query_params.get("cursor"), "cursor")
        page = await self._store.page(Filter(part=search), ROWS, cursor)
        rows = [(message, preview(message.mail)) for message in page.messages]
        older = page.before and "/?" + urlencode({"search": search, "cursor": page.before})
        return self._page(
            "list.html",
            _POLICY,
            page=page,
            rows=rows,
            search=search,
            paged=cursor is not None,
            older=older,
            faults=self._faults.pending,
            address=str(request.base_url).rstrip("/"),
        )

    async def view(self, request: Request) -> Response:
        try:
            message = await self._store.message(request.path_params["id"])
        except RefusedError as refusal:
            response = self._page("missing.html", _POLICY)
            response.status_code = refusal.status
            return response
        mail = message.mail
        fields = [
            ("From", [mail.sender]),
            ("To", as_list(mail.to)),
            ("Cc", as_list(mail.cc)),
            ("Bcc", as_list(mail.bcc)),
            ("Reply-To", as_list(mail.reply_to)),
            *((name, [value]) for name, value in (mail.headers or {}).items()),
            ("Tags", [f"{name}={value}" for name, value in mail.tag_values.items()]),
            ("Attachments", [attachment.filename or "unnamed" for attachment in mail.attachments or ()]),
            ("Scheduled", [mail.scheduled_at] if mail.scheduled_at else []),
            ("Idempotency-Key", [message.idempotency_key] if message.idempotency_key else []),
            ("Id", [message.id]),
        ]
        return self._page(
            "view.html",
            _MAIL_POLICY,
            message=message,
            mail=mail,
            fields=[(name, values) for name, values in fields if values],
            events=await self._store.events(message.seq),
            kinds=_EVENTS,
            link=first_link(mail.html or ""),
        )

    def _page(self, name: str, policy: str, **values: object) -> HTMLResponse:
        nonce = secrets.token_urlsafe(16)
        page = self._pages.get_template(name).render(values, nonce=nonce)
        headers = {
            "content-security-policy": policy.format(nonce=nonce),
            "referrer-policy": "same-origin",
            "x-content-type-options": "nosniff",
            "cache-control": "no-store",
        }
        return HTMLResponse(page, headers=headers)


def preview(mail: Mail) -> str:
    """The first words, as a mail program shows them beside the subject."""
    text = mail.text or Markup(_UNSEEN.sub(" ", (mail.html or "")[:_LOOKED_AT])).striptags()  # noqa: S704 - only stripped
    return " ".join(text[: _PREVIEW * 2].split())[:_PREVIEW]
