-- seq orders the inbox and is never used twice, even after the inbox was emptied.
CREATE TABLE IF NOT EXISTS message (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    received_at INTEGER NOT NULL, -- ms since 1970
    idempotency_key TEXT,
    mail BLOB NOT NULL -- JSON as of mail.py
) STRICT;

-- Who got it, in lower case and without names: the search by recipient. Random addresses touch a page each, which
-- would cost as much as keeping the mail: it is filled in sorted lots while no mail comes in, or before a search.
CREATE TABLE IF NOT EXISTS recipient (
    address TEXT NOT NULL,
    seq INTEGER NOT NULL,
    PRIMARY KEY (address, seq)
) STRICT, WITHOUT ROWID;

-- One row: through which message recipient is filled.
CREATE TABLE IF NOT EXISTS indexed (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    seq INTEGER NOT NULL
) STRICT;
INSERT OR IGNORE INTO indexed VALUES (1, 0);

-- The first answer to each key, kept for 24 hours.
CREATE TABLE IF NOT EXISTS idempotency (
    key TEXT PRIMARY KEY,
    fingerprint BLOB NOT NULL,
    answer BLOB NOT NULL,
    expires_at INTEGER NOT NULL -- ms since 1970
) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS idempotency_expires_at ON idempotency (expires_at);

-- Webhooks sent about a message, and the status that the receiver answered.
CREATE TABLE IF NOT EXISTS event (
    seq INTEGER NOT NULL,
    at INTEGER NOT NULL, -- ms since 1970
    type TEXT NOT NULL,
    webhook_id TEXT NOT NULL,
    answered INTEGER NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS event_seq ON event (seq);

-- One row while deliveries are reported by themselves: up to which message they are.
CREATE TABLE IF NOT EXISTS reported (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    seq INTEGER NOT NULL
) STRICT;
