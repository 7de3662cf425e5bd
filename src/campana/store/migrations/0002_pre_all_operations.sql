-- What the rest of the operations keep.

ALTER TABLE app_instances ADD COLUMN retention_days BIGINT;
-- retention_purges_at is when somebody must look for messages to delete for good; retention_purged_to is the channel
-- that a round of that has come to.
ALTER TABLE app_instances ADD COLUMN retention_deletes_from BIGINT;
ALTER TABLE app_instances ADD COLUMN retention_purges_at BIGINT;
ALTER TABLE app_instances ADD COLUMN retention_purged_to TEXT;
CREATE INDEX app_instances_purging ON app_instances (retention_purges_at) WHERE retention_purges_at IS NOT NULL;

-- expires_at is when somebody must look whether the resource has expired: for a channel that expires by its last
-- message it is a lower bound.
ALTER TABLE identities ADD COLUMN configuration TEXT;
ALTER TABLE identities ADD COLUMN expiration_days BIGINT;
ALTER TABLE identities ADD COLUMN expiration_criterion TEXT;
ALTER TABLE identities ADD COLUMN expires_at BIGINT;
CREATE INDEX identities_expiring ON identities (expires_at) WHERE expires_at IS NOT NULL;

-- elastic is the JSON of an ElasticChannelConfiguration.
ALTER TABLE channels ADD COLUMN elastic TEXT;
ALTER TABLE channels ADD COLUMN expiration_days BIGINT;
ALTER TABLE channels ADD COLUMN expiration_criterion TEXT;
ALTER TABLE channels ADD COLUMN expires_at BIGINT;
CREATE INDEX channels_expiring ON channels (expires_at) WHERE expires_at IS NOT NULL;

-- last_message_at is the time of the newest persistent message, last_untargeted_at that of the newest that everybody
-- in the channel may see; last_targeted_at of a membership is that of the newest its member alone sees or sent.
ALTER TABLE channels ADD COLUMN last_untargeted_at BIGINT;
UPDATE channels SET last_untargeted_at = last_message_at;

-- preferences is the JSON of a ChannelMembershipPreferences.
ALTER TABLE memberships ADD COLUMN preferences TEXT;
ALTER TABLE memberships ADD COLUMN last_targeted_at BIGINT;

-- Members are transferred a batch at a time: from one that ends into ends_into, from all others to one that is filling.
CREATE TABLE sub_channels (
    channel_arn TEXT NOT NULL,
    id TEXT NOT NULL,
    membership_count BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    last_message_at BIGINT,
    balance_at BIGINT,
    ends_into TEXT,
    filling BIGINT NOT NULL,
    PRIMARY KEY (channel_arn, id)
);
CREATE INDEX sub_channels_to_balance ON sub_channels (balance_at, channel_arn, id) WHERE balance_at IS NOT NULL;
CREATE INDEX sub_channels_in_order ON sub_channels (channel_arn, created_at, id);

CREATE TABLE tags (
    resource_arn TEXT NOT NULL,
    key TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (resource_arn, key)
);

-- Devices of users, for push. attributes is the JSON of EndpointAttributes.
CREATE TABLE endpoints (
    user_arn TEXT NOT NULL,
    id TEXT NOT NULL,
    name TEXT,
    type TEXT NOT NULL,
    resource_arn TEXT NOT NULL,
    attributes TEXT NOT NULL,
    device_token TEXT NOT NULL,
    allow_messages TEXT NOT NULL,
    status TEXT NOT NULL,
    status_reason TEXT,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    PRIMARY KEY (user_arn, id)
);
CREATE UNIQUE INDEX endpoints_by_device ON endpoints (user_arn, type, device_token);
CREATE INDEX endpoints_in_order ON endpoints (user_arn, created_at, id);

CREATE TABLE streaming_configurations (
    app_instance_arn TEXT NOT NULL,
    data_type TEXT NOT NULL,
    resource_arn TEXT NOT NULL,
    PRIMARY KEY (app_instance_arn, data_type)
);

-- Quotas and rates that were set for one app instance, or, with '', for all.
CREATE TABLE quotas (
    app_instance_arn TEXT NOT NULL,
    name TEXT NOT NULL,
    value BIGINT NOT NULL,
    PRIMARY KEY (app_instance_arn, name)
);
