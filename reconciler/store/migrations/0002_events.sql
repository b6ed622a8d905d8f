-- All events instead of uplinks alone, batches, alarms and downlinks. Rows from before stay as they are: what is added
-- has a value for each of them. Making the index reads deliveries once, a million in 0.2 s.
--
-- Devices may have 64 bits now: `messages.device` and `segments.device` hold their two's complement. The last three
-- bytes of an id are about the station, so that receptions of an event stand side by side in `messages_by_id`; a message
-- from before is an event of its own.

ALTER TABLE messages ADD COLUMN type INTEGER NOT NULL DEFAULT 0;  -- 0 data, …: sqlite_rows.TYPES

-- A state more: 3 joined.
INSERT INTO tally VALUES (3, 0);

ALTER TABLE deliveries ADD COLUMN asks INTEGER NOT NULL DEFAULT 0;

-- The delivery that carries the batch, itself if it does; NULL when it is in none.
ALTER TABLE deliveries ADD COLUMN batch INTEGER;

-- The lines of a batch. What is in none never enters.
CREATE INDEX deliveries_batch ON deliveries (batch) WHERE batch IS NOT NULL;

CREATE TABLE alarms (
    kind        INTEGER NOT NULL,  -- 0 gathered, 1 result, 2 silence
    subject     TEXT    NOT NULL,
    device      TEXT    NOT NULL,
    device_type TEXT    NOT NULL,
    due_at      INTEGER NOT NULL,
    PRIMARY KEY (kind, subject)
) WITHOUT ROWID, STRICT;

CREATE INDEX alarms_due ON alarms (due_at);

CREATE TABLE downlinks (
    message     INTEGER PRIMARY KEY,  -- messages.key: the message that asked
    device      TEXT    NOT NULL,
    device_type TEXT    NOT NULL,
    asked_at    INTEGER NOT NULL,
    expires_at  INTEGER NOT NULL,
    state       INTEGER NOT NULL,     -- 0 asked, 1 ready, 2 served, 3 declined, 4 ended
    data        TEXT,                 -- hex, NULL until it is known
    code        INTEGER NOT NULL      -- model.downlink.InfoCode
) STRICT;

-- What a further request or a report of the network has to look at: all that is open.
CREATE INDEX downlinks_open ON downlinks (device, expires_at) WHERE state < 3;

-- What expires, and what can be served.
CREATE INDEX downlinks_waiting ON downlinks (state, expires_at) WHERE state < 2;

-- By how much the clock was set, and the last message before that.
CREATE TABLE clock_steps (
    message INTEGER PRIMARY KEY,  -- messages.key, 0 when there was none
    step    INTEGER NOT NULL
) STRICT;
