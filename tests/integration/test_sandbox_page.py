"""The inbox in a real browser; skipped where none is installed."""

import shutil

import pytest
from playwright.sync_api import expect, sync_playwright

from tests.integration.sandbox_process import receiver, sandbox

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
HOSTILE = (
    "<script>parent.document.title = 'taken'; document.title = 'taken'</script>"
    "<img src=x onerror=\"parent.document.title='taken'\">"
    "<form action='/messages' id=f><button>Press</button></form>"
    '<a href="javascript:parent.document.title=1">x</a><p id=end>The end</p>'
)

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")


@pytest.fixture(scope="module")
def browser():
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield started
        started.close()


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    with receiver() as hook, sandbox(tmp_path_factory.mktemp("page"), hook.url) as running:
        running.received = hook.received
        yield running


@pytest.fixture
def inbox(shared):
    shared.call("DELETE", "/messages")
    shared.received.clear()
    return shared


@pytest.fixture
def page(browser):
    context = browser.new_context()
    opened = context.new_page()
    yield opened
    context.close()


def send(inbox, **changes):
    mail = {"from": "a@bakery.example", "to": "ann@example.com", "subject": "Bread", "html": "<p>Fresh</p>", **changes}
    return inbox.call("POST", "/emails", mail, authorization="Bearer re_any")["id"]


def test_new_mail_appears_by_itself(inbox, page):
    page.goto(inbox.url)
    expect(page.get_by_text("Nothing here yet")).to_be_visible()
    send(inbox, subject="The first")
    expect(page.get_by_role("link", name="The first")).to_be_visible(timeout=10_000)
    send(inbox, subject="The second")
    expect(page.get_by_role("link", name="The second")).to_be_visible(timeout=10_000)


def test_new_mail_does_not_move_what_somebody_reads(inbox, page):
    send(inbox, subject="The first")
    page.goto(inbox.url)
    page.get_by_role("link", name="The first").focus()
    send(inbox, subject="The second")
    news = page.get_by_role("button", name="1 new mail")
    expect(news).to_be_visible(timeout=10_000)
    expect(page.get_by_role("link", name="The second")).to_have_count(0)
    news.click()
    expect(page.get_by_role("link", name="The second")).to_be_visible()


def test_searching_leads_to_the_recipients_mail(inbox, page):
    send(inbox)
    send(inbox, to="bea@example.com", subject="Cake")
    page.goto(inbox.url)
    page.get_by_role("searchbox", name="Search by recipient").fill("bea@")
    page.keyboard.press("Enter")
    expect(page.get_by_role("listitem")).to_have_count(1)
    page.get_by_role("link", name="Cake").click()
    expect(page.get_by_role("heading", name="Cake")).to_be_visible()
    page.get_by_role("link", name="Inbox").click()
    expect(page.get_by_role("searchbox")).to_have_value("bea@")


def test_nothing_in_a_hostile_mail_runs(inbox, page):
    identifier = send(inbox, subject="<script>document.title='taken'</script>", html=HOSTILE)
    page.goto(f"{inbox.url}/messages/{identifier}/view")
    frame = page.frame_locator("iframe")
    expect(frame.get_by_text("The end")).to_be_visible()
    frame.get_by_role("button", name="Press").click()
    expect(frame.get_by_text("The end")).to_be_visible()
    assert page.title() == "<script>document.title='taken'</script> · Sandbox inbox"


def test_a_mail_cannot_lead_its_frame_elsewhere(inbox, page):
    identifier = send(inbox, html=f'<meta http-equiv="refresh" content="0;url={inbox.url}/faults"><p>Stays</p>')
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(f"{inbox.url}/messages/{identifier}/view")
    page.wait_for_load_state("networkidle")
    assert not [url for url in asked if url.endswith("/faults")]


def test_the_buttons_send_webhooks_and_say_what_was_answered(inbox, page):
    identifier = send(inbox)
    page.goto(f"{inbox.url}/messages/{identifier}/view")
    for name in ("Delivered", "Opened", "Clicked", "Bounced", "Complained"):
        page.get_by_role("button", name=name).click()
        expect(page.get_by_role("status")).to_have_text("Regulars has taken it.")
        expect(page.get_by_role("list", name="Webhooks sent")).to_contain_text(name)
    assert len(inbox.received) == 5
    page.goto(inbox.url)
    expect(page.get_by_role("listitem")).to_contain_text("complained")


def test_the_parts_of_a_mail_are_reached_by_keyboard(inbox, page):
    identifier = send(inbox, text="In plain words")
    page.goto(f"{inbox.url}/messages/{identifier}/view")
    page.get_by_role("tab", name="HTML").focus()
    page.keyboard.press("ArrowRight")
    expect(page.get_by_role("tab", name="Plain text")).to_be_focused()
    expect(page.get_by_text("In plain words")).to_be_visible()
    page.keyboard.press("ArrowRight")
    expect(page.get_by_role("tabpanel", name="Source")).to_contain_text("<p>Fresh</p>")


def test_emptying_the_inbox_asks_first(inbox, page):
    send(inbox)
    page.goto(inbox.url)
    page.once("dialog", lambda dialog: dialog.dismiss())
    page.get_by_role("button", name="Empty the inbox").click()
    expect(page.get_by_role("listitem")).to_have_count(1)
    page.once("dialog", lambda dialog: dialog.accept())
    page.get_by_role("button", name="Empty the inbox").click()
    expect(page.get_by_text("Nothing here yet")).to_be_visible()
