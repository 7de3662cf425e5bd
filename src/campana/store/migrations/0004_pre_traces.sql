-- A flow execution remembers the trace of the call that it came of.

ALTER TABLE executions ADD COLUMN trace TEXT NOT NULL DEFAULT '';
