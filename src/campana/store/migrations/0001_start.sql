-- The schema in the portable part of SQLite's and PostgreSQL's dialects.
-- Times are milliseconds since the epoch; JSON documents are TEXT that SQL never looks into.

CREATE TABLE app_instances (
    arn TEXT PRIMARY KEY,
    account TEXT NOT NULL,
    name TEXT NOT NULL,
    metadata TEXT,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
);
CREATE INDEX app_instances_by_account ON app_instances (account, created_at, arn);

-- Users and bots: whoever can bear a call or be a member. A row stays after deletion, for the last known name.
CREATE TABLE identities (
    arn TEXT PRIMARY KEY,
    app_instance_arn TEXT NOT NULL,
    kind TEXT NOT NULL,
    name TEXT,
    metadata TEXT,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    deleted_at BIGINT
);
CREATE INDEX identities_live ON identities (app_instance_arn, kind, created_at, arn) WHERE deleted_at IS NULL;

CREATE TABLE admins (
    app_instance_arn TEXT NOT NULL,
    admin_arn TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (app_instance_arn, admin_arn)
);
CREATE INDEX admins_in_order ON admins (app_instance_arn, created_at, admin_arn);
CREATE INDEX admins_by_identity ON admins (admin_arn);

CREATE TABLE channels (
    arn TEXT PRIMARY KEY,
    app_instance_arn TEXT NOT NULL,
    name TEXT NOT NULL,
    mode TEXT NOT NULL,
    privacy TEXT NOT NULL,
    metadata TEXT,
    created_by TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    last_message_at BIGINT,
    channel_flow_arn TEXT
);
CREATE INDEX channels_by_privacy ON channels (app_instance_arn, privacy, created_at, arn);
CREATE INDEX channels_by_flow ON channels (channel_flow_arn, created_at, arn) WHERE channel_flow_arn IS NOT NULL;

-- sub_channel_id is '' everywhere but in elastic channels.
CREATE TABLE memberships (
    channel_arn TEXT NOT NULL,
    member_arn TEXT NOT NULL,
    sub_channel_id TEXT NOT NULL,
    type TEXT NOT NULL,
    invited_by TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    read_marker_at BIGINT,
    PRIMARY KEY (channel_arn, member_arn, sub_channel_id)
);
CREATE INDEX memberships_by_type ON memberships (channel_arn, sub_channel_id, type, created_at, member_arn);
CREATE INDEX memberships_by_member ON memberships (member_arn, created_at, channel_arn, sub_channel_id);

CREATE TABLE moderators (
    channel_arn TEXT NOT NULL,
    moderator_arn TEXT NOT NULL,
    created_by TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (channel_arn, moderator_arn)
);
CREATE INDEX moderators_in_order ON moderators (channel_arn, created_at, moderator_arn);
CREATE INDEX moderators_by_identity ON moderators (moderator_arn, created_at, channel_arn);

CREATE TABLE bans (
    channel_arn TEXT NOT NULL,
    member_arn TEXT NOT NULL,
    created_by TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (channel_arn, member_arn)
);
CREATE INDEX bans_in_order ON bans (channel_arn, created_at, member_arn);
CREATE INDEX bans_by_member ON bans (member_arn);

-- How many members a channel has and what else is counted, kept beside so that a quota costs one look-up.
CREATE TABLE counts (
    owner TEXT NOT NULL,
    what TEXT NOT NULL,
    count BIGINT NOT NULL,
    PRIMARY KEY (owner, what)
);

-- NON_PERSISTENT messages are here only while they are on their way (or failed).
CREATE TABLE messages (
    id TEXT NOT NULL,
    channel_arn TEXT NOT NULL,
    sub_channel_id TEXT NOT NULL,
    sender_arn TEXT NOT NULL,
    type TEXT NOT NULL,
    persistence TEXT NOT NULL,
    status TEXT NOT NULL,
    status_detail TEXT,
    content TEXT NOT NULL,
    metadata TEXT,
    content_type TEXT,
    message_attributes TEXT,
    push_notification TEXT,
    target_arn TEXT,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    edited_at BIGINT,
    redacted_at BIGINT
);
CREATE UNIQUE INDEX messages_by_id ON messages (id);
CREATE INDEX messages_in_order ON messages (channel_arn, sub_channel_id, created_at, id);

CREATE TABLE channel_flows (
    arn TEXT PRIMARY KEY,
    app_instance_arn TEXT NOT NULL,
    name TEXT NOT NULL,
    processors TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
);
CREATE INDEX channel_flows_in_order ON channel_flows (app_instance_arn, created_at, arn);

-- A message's way through the processors of the flow that its channel had when it was sent.
-- due_at is the only timer: when somebody must look at the row again.
CREATE TABLE executions (
    id TEXT PRIMARY KEY,
    message_id TEXT NOT NULL,
    channel_arn TEXT NOT NULL,
    operation TEXT NOT NULL,
    plan TEXT NOT NULL,
    state TEXT NOT NULL,
    step BIGINT NOT NULL,
    tries BIGINT NOT NULL,
    callback_id TEXT NOT NULL,
    due_at BIGINT NOT NULL,
    proposed TEXT NOT NULL,
    draft TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    version BIGINT NOT NULL
);
CREATE UNIQUE INDEX executions_by_callback ON executions (callback_id);
CREATE INDEX executions_by_message ON executions (message_id, created_at);
CREATE INDEX executions_by_channel ON executions (channel_arn);
CREATE INDEX executions_due ON executions (due_at, id) WHERE state NOT IN ('SENT', 'CANCELLED');
CREATE INDEX executions_over ON executions (due_at) WHERE state IN ('SENT', 'CANCELLED');

-- The journal: an ordered log of events for each topic, numbered without gaps.
CREATE TABLE topics (
    name TEXT PRIMARY KEY,
    head BIGINT NOT NULL
);
CREATE TABLE journal (
    topic TEXT NOT NULL,
    number BIGINT NOT NULL,
    frame TEXT NOT NULL,
    steering TEXT,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (topic, number)
);
CREATE INDEX journal_by_age ON journal (created_at);

CREATE TABLE idempotency (
    key TEXT PRIMARY KEY,
    body_sha256 TEXT NOT NULL,
    response TEXT NOT NULL,
    created_at BIGINT NOT NULL
);
CREATE INDEX idempotency_by_age ON idempotency (created_at);

-- What was deleted at once for callers and whose remains are removed in small batches.
CREATE TABLE deletions (
    arn TEXT PRIMARY KEY,
    requested_at BIGINT NOT NULL
);
CREATE INDEX deletions_by_age ON deletions (requested_at);

CREATE TABLE secrets (
    name TEXT PRIMARY KEY,
    value TEXT NOT NULL
);
