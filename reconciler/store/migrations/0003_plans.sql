-- What plans need to know of what was published. Revisions from before stay as they are: nothing is known of who carried
-- out what, and no fingerprint of a secret was taken.

ALTER TABLE revisions ADD COLUMN owner TEXT NOT NULL DEFAULT '';  -- the project that published
ALTER TABLE revisions ADD COLUMN via   TEXT NOT NULL DEFAULT '';  -- model.revision.Publication
ALTER TABLE revisions ADD COLUMN plan  TEXT NOT NULL DEFAULT '';

-- The last publication of a project's files, without reading through the changes of those after it. In `changes` a move
-- has three parts from now on: [kind, key, key that was left].
CREATE INDEX revisions_applied ON revisions (owner, number) WHERE via <> '';

-- Of every secret that a revision's definitions refer to, when it was published: 16 hex digits of a keyed digest, whose
-- key is not in this file; NULL where there was no value.
CREATE TABLE fingerprints (
    revision    INTEGER NOT NULL,
    name        TEXT    NOT NULL,
    fingerprint TEXT,
    PRIMARY KEY (revision, name)
) WITHOUT ROWID, STRICT;
