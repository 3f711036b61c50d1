import asyncio
import threading

import pytest

from services.local.sandbox.answer import RefusedError
from services.local.sandbox.app import create_app
from services.local.sandbox.emails import new_ids
from services.local.sandbox.store import Filter, Store
from services.local.sandbox.submission import Accepted, Submission
from services.local.sandbox.writer import Writer, connect
from shared.clock import utc_now
from shared.errors import SetupError

SECRET = "whsec_cmVndWxhcnMtc2FuZGJveA=="


@pytest.fixture
def store(tmp_path):
    opened = Store(tmp_path)
    yield opened
    opened.close()


@pytest.fixture
def connection(tmp_path):
    opened = connect(tmp_path / "writer.sqlite3")
    opened.execute("CREATE TABLE word (word TEXT)")
    yield opened
    opened.close()


@pytest.fixture
def writer(connection):
    started = Writer(connection, when_idle=lambda _: False)
    yield started
    started.close()


def submission(key, size=10):
    content = b'{"from":"a@b.example","to":["ann@example.com"],"subject":"' + b"x" * size + b'","text":"x"}'
    mails = [Accepted(identifier, content) for identifier in new_ids(utc_now(), 20)]
    return Submission(mails, utc_now(), b"{}", key, b"fingerprint")


def say(word):
    return lambda connection: connection.execute("INSERT INTO word VALUES (?)", [word])


def blocked(writer):
    """The writer is busy until the event that this gives is set."""
    begun, go_on = threading.Event(), threading.Event()

    def work(_connection):
        begun.set()
        assert go_on.wait(10)

    writer.submit(work)
    assert begun.wait(10)
    return go_on


def test_those_who_wait_together_share_one_commit(writer, connection):
    go_on = blocked(writer)
    statements = []
    connection.set_trace_callback(statements.append)
    waiting = [writer.submit(say(word)) for word in ("one", "two", "three")]
    go_on.set()
    for future in waiting:
        future.result(10)
    # One for the work that blocked, one for the three together.
    assert statements.count("COMMIT") == 2


def test_work_that_fails_undoes_only_its_own(writer, connection):
    def fail(connection):
        say("wrong")(connection)
        raise RefusedError(409, "conflict", "no")

    go_on = blocked(writer)
    before, failed, after = writer.submit(say("one")), writer.submit(fail), writer.submit(say("two"))
    go_on.set()
    before.result(10)
    after.result(10)
    with pytest.raises(RefusedError):
        failed.result(10)
    assert connection.execute("SELECT word FROM word").fetchall() == [("one",), ("two",)]


def test_closing_finishes_what_was_handed_over(connection):
    writer = Writer(connection, when_idle=lambda _: False)
    go_on = blocked(writer)
    last = writer.submit(say("last"))
    closing = threading.Thread(target=writer.close)
    closing.start()
    go_on.set()
    closing.join(10)
    assert last.done()
    assert connection.execute("SELECT word FROM word").fetchall() == [("last",)]


def test_work_left_for_idle_times_is_done_until_there_is_none(connection):
    lots, done = iter([True, True, False]), threading.Event()

    def chore(_connection):
        more = next(lots)
        if not more:
            done.set()
        return more

    writer = Writer(connection, when_idle=chore)
    assert done.wait(10)
    writer.close()
    assert next(lots, "used up") == "used up"


def test_a_full_disk_is_told_and_nothing_of_the_request_is_kept(store):
    async def run():
        (pages,) = store._writing.execute("PRAGMA page_count").fetchone()
        store._writing.execute(f"PRAGMA max_page_count={pages + 5}")
        with pytest.raises(RefusedError, match="full") as refused:
            await store.keep(submission("k-1", size=4_000))
        assert (refused.value.status, (await store.page(Filter(), 10)).count) == (500, 0)
        store._writing.execute("PRAGMA max_page_count=1000000")
        await store.keep(submission("k-1", size=4_000))
        assert (await store.page(Filter(), 10)).count == 20

    asyncio.run(run())


def test_a_search_finds_what_no_idle_time_has_indexed_yet(store, monkeypatch):
    monkeypatch.setattr("services.local.sandbox.store._LOT", 7)

    async def run():
        for number in range(5):
            await store.keep(submission(f"k-{number}"))
        return (await store.page(Filter(to="ann@example.com"), 10)).count

    assert asyncio.run(run()) == 100


def test_identifiers_ascend_and_are_uuids_of_version_7():
    identifiers = new_ids(utc_now(), 100)
    assert identifiers == sorted(set(identifiers))
    assert all(
        identifier[14] == "7" and identifier[19] in "89ab" and len(identifier) == 36 for identifier in identifiers
    )


def test_a_directory_that_cannot_be_used_is_said_at_start(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(SetupError, match="Give another data directory"):
        create_app(tmp_path / "file", "http://ingest.test", SECRET)


def test_a_secret_that_cannot_be_used_is_said_at_start(tmp_path):
    with pytest.raises(SetupError, match="REGULARS_WEBHOOK_SECRET"):
        create_app(tmp_path, "http://ingest.test", "whsec_not base64!")
