-- Credentials. Secrets are sealed with a key that is not in the database; policies are JSON lists of documents.

CREATE TABLE access_keys (
    id TEXT PRIMARY KEY,
    secret TEXT NOT NULL,
    account TEXT NOT NULL,
    principal_arn TEXT NOT NULL,
    policies TEXT NOT NULL,
    tags TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    revoked_at BIGINT
);
CREATE INDEX access_keys_in_order ON access_keys (created_at, id);

-- id is new each time a role of that name is made: sessions of an earlier one end with it.
CREATE TABLE roles (
    arn TEXT PRIMARY KEY,
    id TEXT NOT NULL,
    trust TEXT NOT NULL,
    policy TEXT NOT NULL,
    created_at BIGINT NOT NULL
);
CREATE INDEX roles_in_order ON roles (created_at, arn);
