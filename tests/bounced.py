"""Bounced mails as servers write them (RFC 3464)."""

from __future__ import annotations

from shared.domain.bounces import bounce_token

TOKEN = bounce_token("s3cret", "acme", "0b9d9c1e-0000-4000-8000-000000000001")


def report(
    status: str = "5.1.1",
    diagnosis: str = "smtp; 550 5.1.1 <asha@example.com>: no such user",
    action: str = "failed",
    to: str = f"bounces+{TOKEN}@acme.example",
    returned: str = "",
) -> bytes:
    """As Postfix writes it."""
    return f"""From: MAILER-DAEMON@mx.example (Mail Delivery System)
To: {to}
Subject: Undelivered Mail Returned to Sender
MIME-Version: 1.0
Content-Type: multipart/report; report-type=delivery-status; boundary="b1"

--b1
Content-Type: text/plain; charset=us-ascii

I'm sorry to have to inform you that your message could not be delivered.

--b1
Content-Type: message/delivery-status

Reporting-MTA: dns; mx.example
Arrival-Date: Tue, 24 Nov 2026 10:00:00 +0000

Final-Recipient: rfc822; asha@example.com
Action: {action}
Status: {status}
Diagnostic-Code: {diagnosis}

--b1
Content-Type: text/rfc822-headers

From: Acme <hello@acme.example>
{returned}Subject: For you

--b1--
""".encode()
