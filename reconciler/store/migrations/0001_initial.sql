-- The first form of the store. Times are microseconds since the Unix epoch, UTC: what a datetime can hold, exactly.
--
-- Sizes and costs were measured with 300-byte requests in groups of 64 (tests/benchmarks/store.py): a delivered uplink
-- takes about 660 bytes. Rows stand in the order of arrival, with the ids in an index beside them: in tables clustered by
-- id every row dirties a page of its own, which cost 101 us of CPU a message instead of 26.

-- Texts that repeat in every delivery, kept once: the keys of callbacks, and endpoints.
CREATE TABLE names (
    id   INTEGER PRIMARY KEY,
    text TEXT NOT NULL UNIQUE
) STRICT;

CREATE TABLE messages (
    key         INTEGER PRIMARY KEY,  -- the order of arrival, without gaps
    id          BLOB    NOT NULL,     -- the 16 bytes of the message's id; the event time leads
    device      INTEGER NOT NULL,     -- the device's hex id, as a number
    received_at INTEGER NOT NULL,
    revision    INTEGER NOT NULL,
    content     TEXT    NOT NULL      -- codec.message
) STRICT;

CREATE UNIQUE INDEX messages_by_id ON messages (id);

-- Which messages came from a device. An index that every message enters at once dirties a page for each of them and
-- doubles the cost of `accept`. Here 4,096 messages are entered together, sorted, when their segment is complete; the
-- last, incomplete segment is scanned instead. A device's messages cost one seek for each segment.
CREATE TABLE segments (
    segment INTEGER NOT NULL,  -- message >> 12
    device  INTEGER NOT NULL,
    message INTEGER NOT NULL,
    PRIMARY KEY (segment, device, message)
) WITHOUT ROWID, STRICT;

CREATE TABLE deliveries (
    key          INTEGER PRIMARY KEY,  -- message << 16 | ordinal
    callback     INTEGER NOT NULL,     -- names.id
    endpoint     INTEGER NOT NULL,     -- names.id
    revision     INTEGER NOT NULL,
    request      TEXT    NOT NULL,     -- codec.delivery
    warnings     TEXT,                 -- JSON array, NULL when empty
    due_at       INTEGER NOT NULL,
    state        INTEGER NOT NULL,     -- 0 pending, 1 delivered, 2 undelivered
    attempts     INTEGER NOT NULL,
    tries        INTEGER NOT NULL,
    token        INTEGER NOT NULL,     -- of the lease, if there is one; raised when it begins and when it ends
    leased_until INTEGER               -- NULL when nobody holds it
) STRICT;

-- What waits: for each endpoint first what is free, by due time, then what is leased, by expiry. Everything that looks
-- for work goes from endpoint to endpoint by seeks, so that a million rows of a dead one cost nothing. The state is in
-- it only so that nobody has to look at the rows themselves.
CREATE INDEX deliveries_pending ON deliveries (endpoint, state, leased_until, due_at) WHERE state = 0;

-- Which deliveries are undelivered, in the order in which they are listed.
CREATE TABLE undelivered (
    message BLOB    NOT NULL,  -- messages.id
    ordinal INTEGER NOT NULL,
    PRIMARY KEY (message, ordinal)
) WITHOUT ROWID, STRICT;

-- How many deliveries stand in each state, kept along, because counting reads everything.
CREATE TABLE tally (
    state      INTEGER PRIMARY KEY,
    deliveries INTEGER NOT NULL
) STRICT;

INSERT INTO tally VALUES (0, 0), (1, 0), (2, 0);

CREATE TABLE attempts (
    delivery   INTEGER NOT NULL,  -- deliveries.key
    number     INTEGER NOT NULL,
    started_at INTEGER NOT NULL,
    duration   INTEGER NOT NULL,  -- microseconds
    outcome    TEXT    NOT NULL,  -- codec.delivery
    PRIMARY KEY (delivery, number)
) WITHOUT ROWID, STRICT;

CREATE TABLE revisions (
    number       INTEGER PRIMARY KEY,
    digest       TEXT NOT NULL,
    published_at INTEGER,
    published_by TEXT NOT NULL,
    commit_id    TEXT NOT NULL,
    note         TEXT NOT NULL,
    changes      TEXT NOT NULL  -- JSON: [[kind, key], …]
) STRICT;

-- What definitions say, once for each digest.
CREATE TABLE contents (
    id      INTEGER PRIMARY KEY,
    digest  TEXT NOT NULL UNIQUE,
    content TEXT NOT NULL  -- JSON
) STRICT;

-- From which revision on a definition was in force, and up to which it was; `until` is NULL while it still is. A
-- revision that changes one of 10,000 definitions writes two rows.
CREATE TABLE members (
    since   INTEGER NOT NULL,
    key     TEXT    NOT NULL,
    content INTEGER NOT NULL,  -- contents.id
    owner   TEXT    NOT NULL,
    until   INTEGER,
    PRIMARY KEY (since, key)
) WITHOUT ROWID, STRICT;

CREATE INDEX members_in_force ON members (key) WHERE until IS NULL;
