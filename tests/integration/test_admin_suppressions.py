"""Suppressed addresses over the API and from a file, and what lifts them."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis
from hypothesis import strategies as st
from sqlalchemy import Engine, delete, select
from typer.testing import CliRunner

from services.cli import app
from shared.database.facts import suppressed
from shared.database.suppressions import GRAVITY, Suppressed, suppress
from shared.database.tables import audit_log, customer, suppression
from tests.admin import Api
from tests.integration.test_admin_customers import AT


def listed(api: Api, query: str = "") -> dict[str, str]:
    return {item["email"]: item["reason"] for item in api.get(f"/suppressions{query}")["items"]}


def test_addresses_are_suppressed_listed_and_taken_out_again_but_not_who_complained(api: Api) -> None:
    made = api("POST", "/suppressions", {"emails": ["Asha@Example.com", "b@example.com"]})
    assert (made.status_code, made.json()) == (201, {"suppressed": 2, "refused": 0, "rows": []})
    assert api("POST", "/suppressions", {"emails": ["b@example.com"], "reason": "complaint"}).json()["suppressed"] == 1
    assert api("POST", "/suppressions", {"emails": ["b@example.com"]}).status_code == 201
    assert listed(api) == {"asha@example.com": "import", "b@example.com": "complaint"}
    assert listed(api, "?search=ASHA") == {"asha@example.com": "import"}
    assert listed(api, "?reason=complaint&limit=1") == {"b@example.com": "complaint"}
    stays = api("DELETE", "/suppressions", {"emails": ["asha@example.com", "b@example.com"]})
    assert stays.status_code == 409
    assert "b@example.com reported a mail of yours as spam" in stays.json()["detail"]
    assert api("DELETE", "/suppressions", {"emails": ["ASHA@example.com"]}).status_code == 204
    assert listed(api) == {"b@example.com": "complaint"}
    assert api("POST", "/suppressions", {"emails": ["nobody"]}).status_code == 422
    assert api("DELETE", "/suppressions", {"emails": ["b@example.com"]}, role="marketer").status_code == 403
    with api.engine.connect() as connection:
        ours = audit_log.c.subject == "suppression"
        noted = connection.execute(select(audit_log).where(ours).order_by(audit_log.c.audit_id)).all()
    assert [row.action for row in noted] == ["suppression.added"] * 3 + ["suppression.removed"]
    assert "example.com" not in str([row.detail for row in noted]), "what is erased must not live on here"


FILE = (
    "name,email,reason\nAsha,Asha@Example.com,unsubscribe\nB,nobody,\nC,c@example.com,because\nD,d@example.com,\n,,\n"
)


def test_a_list_is_imported_row_by_row(api: Api, tmp_path: Path) -> None:
    told = api("POST", "/suppressions.csv", FILE.encode(), content_type="text/csv").json()
    assert (told["suppressed"], told["refused"]) == (2, 2)
    assert [row["line"] for row in told["rows"]] == [3, 4]
    assert listed(api) == {"asha@example.com": "unsubscribe", "d@example.com": "import"}
    assert api("POST", "/suppressions.csv", b"a,b\n1,2\n", content_type="text/csv").status_code == 422
    with api.engine.begin() as connection:
        connection.execute(delete(suppression))
    path = tmp_path / "list.csv"
    path.write_text(FILE, encoding="utf-8")
    environment = {"REGULARS_DATABASE": api.settings.database}
    command = ["import", "suppressions", str(path), "--organization", "demo"]
    dry = CliRunner().invoke(app, [*command, "--dry-run"], env=environment)
    assert dry.exit_code == 1
    assert "2 addresses would be suppressed, 2 rows refused" in dry.output
    assert listed(api) == {}
    assert CliRunner().invoke(app, command, env=environment).exit_code == 1
    assert listed(api) == {"asha@example.com": "unsubscribe", "d@example.com": "import"}


def test_whatever_the_order_the_graver_reason_and_the_later_time_stay(store: Engine) -> None:
    told = st.builds(
        Suppressed,
        st.sampled_from(["a@example.com", "A@example.com", "b@example.com"]),
        st.sampled_from(list(GRAVITY)),
        st.integers(0, 3).map(lambda days: AT + timedelta(days=days)),
    )

    @hypothesis(max_examples=40)
    @given(st.lists(told, min_size=1, max_size=5), st.integers(0, 5))
    def check(news: list[Suppressed], cut: int) -> None:
        with store.begin() as connection:
            connection.execute(delete(suppression))
            suppress(connection, "demo", news[:cut])
            for each in news[cut:]:
                suppress(connection, "demo", [each])
            found = {row.email: (row.reason, row.at) for row in connection.execute(select(suppression))}
        for email in {each.email.lower() for each in news}:
            own = [each for each in news if each.email.lower() == email]
            graver = max(own, key=lambda each: GRAVITY[each.reason]).reason
            assert found.pop(email) == (graver, max(each.at for each in own))
        assert found == {}

    check()


@pytest.mark.parametrize(
    ("reason", "consented", "days", "stopped"),
    [
        ("unsubscribe", True, 1, False),
        ("unsubscribe", True, -1, True),
        ("unsubscribe", True, 0, True),
        ("unsubscribe", False, 1, True),
        ("import", True, 1, True),
        ("bounce", True, 1, True),
        ("complaint", True, 1, True),
    ],
)
def test_a_newer_consent_outweighs_an_unsubscribe_and_nothing_else(
    store: Engine, reason: Any, consented: bool, days: int, stopped: bool
) -> None:
    with store.begin() as connection:
        suppress(connection, "demo", [Suppressed("a@example.com", reason, AT)])
        values = {"email": "A@example.com", "marketing_consent": consented, "consent_at": AT + timedelta(days=days)}
        connection.execute(customer.insert().values(organization_id="demo", customer_id="c-1", **values))
        assert connection.execute(select(suppressed()).select_from(customer)).scalar() is stopped
