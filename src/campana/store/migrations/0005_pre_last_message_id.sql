-- A channel remembers its highest message id, so that the messages that several nodes send there in one millisecond
-- stand in lists in the order in which they were sent and delivered.

ALTER TABLE channels ADD COLUMN last_message_id TEXT NOT NULL DEFAULT '';
