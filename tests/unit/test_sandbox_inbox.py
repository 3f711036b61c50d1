import pytest

from services.local.sandbox.inbox import preview
from services.local.sandbox.mail import Mail
from tests.unit.sandbox_driver import ANN, sandbox

HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>"


@pytest.fixture
def inbox(tmp_path):
    with sandbox(tmp_path) as driver:
        yield driver


def test_an_empty_inbox_says_how_to_get_a_first_mail(inbox):
    page = inbox.get("/").text
    assert "Nothing here yet" in page
    assert "curl http://sandbox.test/emails" in page


def test_the_list_shows_to_subject_and_when(inbox):
    inbox.send(ANN)
    page = inbox.get("/").text
    assert "ann@example.com" in page
    assert "<b>Bread</b>" in page
    assert 'datetime="2026-11-23T08:30:00.000Z"' in page


def test_the_list_pages_and_keeps_the_search(inbox):
    inbox.send_batch([{**ANN, "to": f"c{number}@north.example", "subject": f"Mail {number}."} for number in range(60)])
    first = inbox.get("/?search=north").text
    assert "Mail 59." in first
    assert "Mail 9." not in first
    cursor = first.split("/?search=north&amp;cursor=")[1].split('"')[0]
    assert "Mail 9." in inbox.get(f"/?search=north&cursor={cursor}").text


def test_a_search_without_result_says_so_and_escapes_it(inbox):
    inbox.send(ANN)
    page = inbox.request("GET", "/?search=%3Cscript%3Ealert(1)%3C%2Fscript%3E").text
    assert "No mail to" in page
    assert "<script>alert" not in page


def test_hostile_content_is_escaped_wherever_it_is_shown(inbox):
    mail = {
        "from": "'\"onload=alert(3) <a@b.example>",
        "to": "\"'onload=alert(4) <ann@example.com>",
        "subject": HOSTILE,
        "text": HOSTILE,
        "html": HOSTILE,
        "headers": {"X-Note": HOSTILE},
        "scheduled_at": HOSTILE,
        "attachments": [{"filename": HOSTILE}],
    }
    identifier = inbox.send(mail).json()["id"]
    for path in ("/", f"/messages/{identifier}/view"):
        page = inbox.get(path).text
        assert "alert(1)" in page
        assert "<script>alert" not in page
        assert "<img src=x" not in page
        assert "\"'onload" not in page
        assert "'\"onload" not in page


def test_no_script_but_the_pages_own_may_run(inbox):
    identifier = inbox.send(ANN).json()["id"]
    nonces = set()
    for path in ("/", f"/messages/{identifier}/view"):
        answer = inbox.get(path)
        policy = answer.headers["content-security-policy"]
        script = policy.split("script-src ")[1].split(";")[0]
        nonces.add(script)
        assert "default-src 'none'" in policy
        assert script.startswith("'nonce-")
        nonce = script.removeprefix("'nonce-").rstrip("'")
        assert f'<script nonce="{nonce}">' in answer.text
        assert answer.text.count("<script") == 1
    assert len(nonces) == 2


def test_the_mail_is_framed_without_scripts_and_without_the_pages_origin(inbox):
    identifier = inbox.send(ANN).json()["id"]
    page = inbox.get(f"/messages/{identifier}/view").text
    assert 'sandbox="allow-popups allow-popups-to-escape-sandbox"' in page
    assert "&lt;p&gt;Fresh&lt;/p&gt;" in page


def test_the_pages_need_nothing_from_elsewhere(inbox):
    identifier = inbox.send(ANN).json()["id"]
    for path in ("/", f"/messages/{identifier}/view"):
        page = inbox.get(path).text
        assert "src=" not in page.replace("srcdoc=", "")
        assert "@import" not in page
        assert "url(" not in page


def test_pending_faults_are_told_on_the_page(inbox):
    inbox.request("POST", "/faults", {"kind": "429", "next": 3})
    assert "the next 3 as <code>429</code>" in inbox.get("/").text


def test_a_preview_holds_what_a_reader_would_see():
    html = (
        "<head><title>No</title></head><style>p{color:red}</style><p>Fresh&nbsp;bread &amp; <b>cake</b></p><script>no"
    )
    assert preview(Mail(html=html)) == "Fresh bread & cake"
    assert preview(Mail(text="Plain\n\n  first", html=html)) == "Plain first"
