-- Alerts, as state: one row from when a condition began to hold until it no longer did.
CREATE TABLE alert (
    id              INTEGER PRIMARY KEY,
    kind            TEXT NOT NULL,
    subject         TEXT NOT NULL,  -- a channel, a file, a sink; '' for the daemon as a whole
    owner           TEXT NOT NULL,
    text            TEXT NOT NULL,
    raised_at       INTEGER NOT NULL,
    reminded_at     INTEGER NOT NULL, -- of the last word to its owner
    reminders       INTEGER NOT NULL,
    acknowledged_at INTEGER NOT NULL, -- 0: not yet
    acknowledged_by TEXT NOT NULL,
    note            TEXT NOT NULL,
    cleared_at      INTEGER NOT NULL  -- 0: open
) STRICT;

CREATE UNIQUE INDEX alert_open ON alert (kind, subject) WHERE cleared_at = 0;
