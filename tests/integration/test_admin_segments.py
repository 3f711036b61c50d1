from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import httpx
import psycopg
import pytest
from sqlalchemy import select, text, update

from shared.database.engine import connect
from shared.database.tables import customer_merge, flip, segment, segment_day, static_member
from tests.admin import Api

OFTEN = {"field": "visit_count", "op": "gte", "value": 3}
NOW = datetime.now(UTC)
pytestmark = pytest.mark.usefixtures("nobody_counts")


def stored(api: Api, segment_id: str) -> Any:
    with api.engine.connect() as connection:
        return connection.execute(
            select(segment).where(segment.c.organization_id == "demo", segment.c.segment_id == segment_id)
        ).one()


def fill(api: Api, segment_id: str) -> None:
    """As the segmenter does."""
    with api.engine.begin() as connection:
        connection.execute(update(segment).where(segment.c.segment_id == segment_id).values(state="live", progress=1))


def test_a_new_organization_has_the_ready_made_segments_live(api: Api) -> None:
    segments = {item["id"]: item for item in api.get("/segments")["items"]}
    assert list(segments) == ["at-risk", "high-spenders", "new-customers", "vip-customers"]
    assert {item["state"] for item in segments.values()} == {"live"}
    vip = segments["vip-customers"]
    assert vip["name"] == "VIP Customers"
    assert vip["criteria"]["all"][0] == {"field": "total_spent", "op": "gte", "value": 1_000_000}
    assert vip["summary"] == "has spent at least ₹10,000.00 and has at least 10 visits"


def test_a_new_segment_waits_to_be_filled_in_the_smallest_free_slot(api: Api) -> None:
    with connect(api.settings.database, autocommit=True) as listener:
        listener.execute("LISTEN regulars_segments")
        answer = api("POST", "/segments", {"name": "Often Here!", "criteria": OFTEN, "color": "#123456"})
        assert [notice.payload for notice in listener.notifies(timeout=5, stop_after=1)] == ["demo"]
    assert answer.status_code == 201
    made = answer.json()
    assert (made["id"], made["state"], made["progress"], made["member_count"]) == ("often-here", "filling", 0, 0)
    assert "version" not in made
    assert answer.headers["location"] == "/v1/segments/often-here"
    assert stored(api, "often-here").slot == 4
    api("POST", "/segments", {"name": "Often-Here", "kind": "static"})
    assert stored(api, "often-here-2").slot == 5


def test_a_deleted_segment_is_hidden_and_keeps_its_slot_until_it_is_cleared(api: Api) -> None:
    api("POST", "/segments", {"name": "Often", "criteria": OFTEN})
    api.add_customer("c-1", memberships=bytes([0b1_0000]))
    assert api.get("/customers/c-1")["segments"] == ["often"]
    assert api("DELETE", "/segments/often").status_code == 204
    assert api("GET", "/segments/often").status_code == 404
    assert api("GET", "/segments/often/members").status_code == 404
    assert api("DELETE", "/segments/often").status_code == 404
    assert api.get("/customers/c-1")["segments"] == []
    assert "often" not in [item["id"] for item in api.get("/segments")["items"]]
    # Its name is free, its slot not yet.
    assert api("POST", "/segments", {"name": "Often", "criteria": OFTEN}).json()["id"] == "often-2"
    assert stored(api, "often").name == "Often", "the last events that tell of it carry it"
    assert (stored(api, "often").state, stored(api, "often").slot, stored(api, "often-2").slot) == ("deleting", 4, 5)
    # The segmenter has cleared it.
    with api.engine.begin() as connection:
        connection.execute(text("DELETE FROM segment WHERE segment_id = 'often'"))
    api("POST", "/segments", {"name": "Another", "criteria": OFTEN})
    assert stored(api, "another").slot == 4


def test_a_deleted_segments_id_is_never_given_again(api: Api) -> None:
    for expected in ("often", "often-2", "often-3"):
        assert api("POST", "/segments", {"name": "Often", "criteria": OFTEN}).json()["id"] == expected
        assert api("DELETE", f"/segments/{expected}").status_code == 204
        with api.engine.begin() as connection:  # as the segmenter does when all is cleared
            connection.execute(text("DELETE FROM segment WHERE state = 'deleting'"))


def test_two_segments_made_at_once_do_not_share_a_slot(api: Api) -> None:
    with ThreadPoolExecutor(8) as threads:
        answers = list(
            threads.map(lambda n: api("POST", "/segments", {"name": f"Same {n % 2}", "criteria": OFTEN}), range(8))
        )
    assert sorted(answer.status_code for answer in answers) == [201, 201] + [409] * 6


def test_a_repeated_request_makes_one_segment(api: Api) -> None:
    body = {"name": "Often", "criteria": OFTEN}
    first, again = (api("POST", "/segments", body, Idempotency_Key="k") for _ in range(2))
    assert (first.status_code, first.json()) == (again.status_code, again.json())
    other = api("POST", "/segments", body | {"name": "Other"}, Idempotency_Key="k")
    assert (other.status_code, other.json()["errors"][0]["field"]) == (422, "Idempotency-Key")
    assert len(api.get("/segments")["items"]) == 5


GONE = {"field": "segment", "op": "in", "value": "nowhere"}
AFTER = {"field": "last_visit", "op": "after"}
EDGES = ("0001", "1899", "3000", "9999")
UNITS = {"field": "units", "op": "gte", "last_days": 3}
CODES = "criteria.coupon_codes"


def test_a_request_too_deep_to_be_known_again_is_refused(api: Api) -> None:
    tree: dict[str, Any] = OFTEN
    for _ in range(300):
        tree = {"not": tree}
    assert api("POST", "/segments", {"name": "X", "criteria": tree}, Idempotency_Key="k").status_code == 422


def test_criteria_of_an_older_rule_are_shown_and_can_be_mended(api: Api) -> None:
    api.add_segment("old", 9, kind="dynamic", criteria=AFTER | {"value": "9999-06-01T00:00:00Z"})
    shown = {each["id"]: each["summary"] for each in api.get("/segments")["items"]}
    assert shown["old"].startswith("cannot be used any more: criteria.value")
    api("POST", "/segments", {"name": "List", "kind": "static"})
    assert api("DELETE", "/segments/list").status_code == 204
    assert api("PATCH", "/segments/old", {"criteria": OFTEN}).json()["summary"] == "has at least 3 visits"


def test_what_is_wrong_is_named(api: Api) -> None:
    bad: list[tuple[dict[str, Any], str]] = [
        ({"name": "", "criteria": OFTEN}, "name"),
        ({"name": "a\0", "criteria": OFTEN}, "name"),
        ({"name": "X", "criteria": OFTEN, "color": "red"}, "color"),
        ({"name": "X", "criteria": OFTEN, "colour": "#000000"}, "colour"),
        ({"name": "X"}, "criteria"),
        ({"name": "X", "kind": "static", "criteria": OFTEN}, "criteria"),
        ({"name": "X", "criteria": {"all": [OFTEN, OFTEN | {"op": "like"}]}}, "criteria.all[1].op"),
        ({"name": "X", "criteria": {"field": "segment", "op": "in", "value": "at-risk"}}, "criteria.value"),
        ({"name": "X", "criteria": {"all": [OFTEN, {"not": GONE}]}}, "criteria.all[1].not.value"),
        # Instants at which arithmetic ends, units that would be rounded to nothing, codes of which nothing is left.
        *(
            ({"name": "X", "criteria": AFTER | {"value": f"{year}-06-01T00:00:00Z"}}, "criteria.value")
            for year in EDGES
        ),
        ({"name": "X", "criteria": UNITS | {"value": 0.0000001}}, "criteria.value"),
        ({"name": "X", "criteria": {"field": "redeemed", "op": "has_any", "coupon_codes": [" - "]}}, CODES),
    ]
    for body, field in bad:
        answer = api("POST", "/segments", body)
        assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, field), answer.text
    assert api("POST", "/segments", {"name": "At-Risk", "criteria": OFTEN}).status_code == 409
    tagged = {"all": [{"field": "tags", "op": "has_any", "value": ["a\0"]}]}
    answer = api("POST", "/segments", {"name": "X", "criteria": tagged})
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "criteria.all[0].value")
    half = b'{"name": "X", "criteria": {"field": "tags", "op": "has_any", "value": ["\\ud800"]}}'
    token = {"authorization": f"Bearer {api.keys['demo', 'owner']}", "content-type": "application/json"}
    assert api.client.post("/v1/segments", content=half, headers=token).status_code == 422


def test_new_criteria_fill_again_and_a_new_name_does_not(api: Api) -> None:
    tag = api("GET", "/segments/at-risk").headers["etag"]
    renamed = api("PATCH", "/segments/at-risk", {"name": "Away", "description": "Gone long"}, If_Match=tag)
    assert (renamed.status_code, renamed.json()["name"], renamed.json()["state"]) == (200, "Away", "live")
    assert api("PATCH", "/segments/at-risk", {"name": "X"}, If_Match=tag).status_code == 412
    edited = api("PATCH", "/segments/at-risk", {"criteria": OFTEN})
    assert (edited.json()["state"], edited.json()["progress"], edited.json()["criteria"]) == ("filling", 0, OFTEN)
    assert stored(api, "at-risk").version == 3
    assert api("PATCH", "/segments/at-risk", {"name": "VIP Customers"}).status_code == 409
    assert api("PATCH", "/segments/at-risk", {"name": None}).json()["errors"][0]["field"] == "name"


def test_preview_counts_exactly_and_shows_some(api: Api) -> None:
    for number in range(30):
        api.add_customer(f"c-{number:02}", visit_count=number % 10)
    shown = api("POST", "/segments/preview", {"criteria": OFTEN}).json()
    assert shown["count"] == 21
    assert [customer["customer_id"] for customer in shown["sample"]][:3] == ["c-03", "c-04", "c-05"]
    away = {"field": "last_visit", "op": "more_than_ago", "days": 60}
    api.add_customer("away", last_visit_at=NOW - timedelta(days=61))
    assert api("POST", "/segments/preview", {"criteria": away}).json()["count"] == 1
    wrong = api("POST", "/segments/preview", {"criteria": {"not": {"field": "nothing"}}})
    assert wrong.json()["errors"][0]["field"] == "criteria.not.field"


def test_static_members_are_listed_and_looked_at_again(api: Api) -> None:
    api("POST", "/segments", {"name": "List", "kind": "static"})
    fill(api, "list")
    for number in range(3):
        api.add_customer(f"c-{number}")
    assert api("POST", "/segments/list/members", {"customer_ids": ["c-0", "c-1", "c-0"]}).status_code == 202
    assert api("POST", "/segments/list/members", {"customer_ids": ["c-1"]}).status_code == 202
    with api.engine.connect() as connection:
        assert set(connection.execute(select(static_member.c.customer_id)).scalars()) == {"c-0", "c-1"}
        assert set(connection.execute(select(flip.c.customer_id, flip.c.cause))) == {("c-0", "edit"), ("c-1", "edit")}
    assert api("DELETE", "/segments/list/members", {"customer_ids": ["c-1", "c-2"]}).status_code == 204
    unknown = api("POST", "/segments/list/members", {"customer_ids": ["c-2", "c-9"]})
    assert (unknown.status_code, unknown.json()["errors"][0]["field"]) == (422, "customer_ids[1]")
    assert api("POST", "/segments/at-risk/members", {"customer_ids": ["c-2"]}).status_code == 409
    with api.engine.connect() as connection:
        assert set(connection.execute(select(static_member.c.customer_id)).scalars()) == {"c-0"}


def test_a_merged_id_on_a_list_stands_for_who_the_customer_is_now(api: Api) -> None:
    api.add_segment("list", 8)
    api.add_customer("c-1")
    merge = {"into_customer_id": "c-1", "root_customer_id": "c-1", "merged_at": NOW, "event_key": "e"}
    api.insert(customer_merge, organization_id="demo", customer_id="c-old", **merge)
    assert api("POST", "/segments/list/members", {"customer_ids": ["c-old", "c-1"]}).status_code == 202
    with api.engine.connect() as connection:
        assert connection.execute(select(static_member.c.customer_id)).scalars().all() == ["c-1"]
    assert api("DELETE", "/segments/list/members", {"customer_ids": ["c-old"]}).status_code == 204
    assert upload(api, "list", b"customer_id\nc-old\nc-none\n").json()["rows"][0]["customer_id"] == "c-none"
    with api.engine.connect() as connection:
        assert connection.execute(select(static_member.c.customer_id)).scalars().all() == ["c-1"]


def test_a_segment_in_use_is_not_deleted(api: Api) -> None:
    api("POST", "/segments", {"name": "List", "kind": "static"})
    inside = {"field": "segment", "op": "not_in", "value": "list"}
    assert api("POST", "/segments", {"name": "Others", "criteria": {"all": [OFTEN, inside]}}).status_code == 201
    spring = {"name": "Spring", "subject": "Hi", "body": "Hi", "audience": {"include_segments": ["at-risk"]}}
    assert api("POST", "/campaigns", spring).status_code == 201
    assert "segment 'Others'" in api("DELETE", "/segments/list").json()["detail"]
    refused = api("DELETE", "/segments/at-risk")
    assert refused.status_code == 409
    assert "campaign 'Spring', campaign 'We miss you'" in refused.json()["detail"]
    for campaign_id in ("spring", "we-miss-you"):
        api("DELETE", f"/campaigns/{campaign_id}")
    assert api("DELETE", "/segments/at-risk").status_code == 204


def test_a_new_time_zone_fills_dynamic_segments_again(api: Api) -> None:
    assert api("PATCH", "/organization", {"time_zone": "Asia/Kolkata"}).status_code == 200
    assert {item["state"] for item in api.get("/segments")["items"]} == {"live"}
    assert api("PATCH", "/organization", {"time_zone": "Europe/Rome"}).json()["time_zone"] == "Europe/Rome"
    assert {item["state"] for item in api.get("/segments")["items"]} == {"filling"}


def test_every_change_stands_in_the_audit_log(api: Api) -> None:
    api("POST", "/segments", {"name": "List", "kind": "static"}, role="marketer")
    api("PATCH", "/segments/list", {"color": "#000000"})
    api("DELETE", "/segments/list")
    entries = api.get("/audit-log?limit=3")
    actions = [(entry["action"], entry["subject"]) for entry in entries["items"]]
    assert actions == [(f"segment.{what}", "segment:list") for what in ("deleted", "changed", "created")]
    assert entries["items"][1]["detail"] == {"fields": ["color"]}
    assert entries["items"][0]["actor"].startswith("key:")
    rest = api.get(f"/audit-log?cursor={entries['next_cursor']}")["items"]
    assert rest[-1]["action"] == "organization.created"


def test_a_refused_change_leaves_no_trace(api: Api) -> None:
    before = api.get("/audit-log")
    api("PATCH", "/segments/at-risk", {"name": "Away", "criteria": {"all": []}})
    assert api.get("/audit-log") == before
    assert api.get("/segments/at-risk")["name"] == "At-Risk"


def test_the_database_away_is_503(api: Api) -> None:
    api.get("/segments")
    with psycopg.connect(api.settings.database.rsplit("/", 1)[0] + "/postgres", autocommit=True) as connection:
        name = api.settings.database.rsplit("/", 1)[1]
        connection.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
        connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name])
        answer = api("GET", "/segments")
        assert (answer.status_code, "retry-after" in answer.headers) == (503, True)
        assert api.client.get("/readyz").status_code == 503
        connection.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
    assert api("GET", "/segments").status_code == 200
    assert api.client.get("/readyz").status_code == 200


def test_history_tells_every_day_from_todays_size_backwards(api: Api) -> None:
    zone = ZoneInfo("Asia/Kolkata")
    today = datetime.now(UTC).astimezone(zone).date()
    api.add_segment("list", 8, member_count=10)
    for back, entered, left in ((0, 3, 1), (2, 5, 0)):
        day = today - timedelta(days=back)
        api.insert(segment_day, organization_id="demo", segment_id="list", day=day, entered=entered, left=left)
    items = api.get("/segments/list/history?days=4")["items"]
    assert [(item["members"], item["entered"], item["left"]) for item in items] == [
        (3, 0, 0),
        (8, 5, 0),
        (8, 0, 0),
        (10, 3, 1),
    ]
    assert items[-1]["date"] == today.isoformat()
    assert api("GET", "/segments/list/history?days=0").status_code == 422
    assert api("GET", "/segments/list/history", organization="other").status_code == 404


def test_a_static_segment_starts_as_a_frozen_copy(api: Api) -> None:
    api.add_segment("origin", 8)
    for number in range(4):
        bits = bytes([0, number % 2])
        api.add_customer(f"c-{number}", visit_count=number, memberships=bits)
    api.add_customer("c-9", organization="other", visit_count=9, memberships=bytes([0, 1]))
    wanted = {"name": "Copy", "kind": "static", "members_of": "origin", "members_by": OFTEN}
    assert api("POST", "/segments", wanted).json()["id"] == "copy"
    with api.engine.connect() as connection:
        listed = select(static_member.c.organization_id, static_member.c.customer_id).order_by(
            static_member.c.customer_id
        )
        assert connection.execute(listed).all() == [("demo", "c-1"), ("demo", "c-3")]


@pytest.mark.parametrize(
    ("more", "status", "field"),
    [
        ({"members_of": "nothing"}, 404, None),
        ({"members_by": {"all": []}}, 422, "members_by.all"),
        ({"members_by": {"all": [OFTEN, OFTEN | {"op": "near"}]}}, 422, "members_by.all[1].op"),
        ({"kind": "dynamic", "criteria": OFTEN, "members_of": "vip-customers"}, 422, "members_of"),
    ],
)
def test_a_copy_of_nothing_is_refused_and_leaves_nothing(
    api: Api, more: dict[str, Any], status: int, field: str | None
) -> None:
    answer = api("POST", "/segments", {"name": "Copy", "kind": "static"} | more)
    assert answer.status_code == status
    if field is not None:
        assert answer.json()["errors"][0]["field"] == field
    assert api("GET", "/segments/copy").status_code == 404


def upload(api: Api, segment_id: str, file: bytes) -> httpx.Response:
    headers = {"authorization": f"Bearer {api.keys['demo', 'owner']}", "content-type": "text/csv"}
    return api.client.post(f"/v1/segments/{segment_id}/members.csv", content=file, headers=headers)


def test_a_list_comes_from_a_csv_and_tells_who_is_unknown(api: Api) -> None:
    api.add_segment("list", 8)
    for number in range(3):
        api.add_customer(f"c-{number}")
    api.add_customer("c-other", organization="other")
    answer = upload(api, "list", b"\xef\xbb\xbfname,customer_id\nAnn,c-0\nBob, c-2 \n,c-other\n,\n")
    assert answer.status_code == 202, answer.text  # no segmenter runs here
    found = answer.json()
    assert (found["added"], found["refused"]) == (2, 1)
    assert (found["rows"][0]["line"], found["rows"][0]["customer_id"]) == (4, "c-other")
    with api.engine.connect() as connection:
        assert set(connection.execute(select(static_member.c.customer_id)).scalars()) == {"c-0", "c-2"}
        assert connection.execute(select(flip.c.cause).distinct()).scalars().all() == ["edit"]


def test_a_list_may_name_more_than_a_statement_takes_parameters(api: Api) -> None:
    api.add_segment("list", 8)
    api.add_customer("c-0")
    answer = upload(api, "list", "\n".join(["customer_id", "c-0", *(f"n{n}" for n in range(70_000))]).encode())
    assert answer.status_code == 202, answer.text
    assert (answer.json()["added"], answer.json()["refused"]) == (1, 70_000)


@pytest.mark.parametrize(
    ("segment_id", "file", "status", "words"),
    [
        ("list", b"", 422, "column customer_id; it has nothing"),
        ("list", b"id\nc-0\n", 422, "column customer_id; it has id"),
        ("list", b"customer_id\n\xff\n", 422, "UTF-8"),
        ("vip-customers", b"customer_id\nc-0\n", 409, "static"),
        ("nothing", b"customer_id\nc-0\n", 404, "nothing"),
    ],
)
def test_what_is_no_list_is_refused(api: Api, segment_id: str, file: bytes, status: int, words: str) -> None:
    api.add_segment("list", 8)
    answer = upload(api, segment_id, file)
    assert answer.status_code == status, answer.text
    assert words in answer.json()["detail"]
