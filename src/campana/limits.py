"""Quotas and sizes of the service (spec/integrations.md §7, spec/api.md)."""

from typing import Final

# Sizes, in UTF-8 bytes.
STANDARD_CONTENT_BYTES: Final = 4096
CONTROL_CONTENT_BYTES: Final = 30
METADATA_BYTES: Final = 1024
ATTRIBUTES_BYTES: Final = 1024
ATTRIBUTE_NAME_CHARACTERS: Final = 64
ATTRIBUTE_VALUE_CHARACTERS: Final = 512
STATUS_DETAIL_CHARACTERS: Final = 256

TAGS_PER_RESOURCE: Final = 50
SUB_CHANNEL_PRODUCT: Final = 1_000_000
"""Of the most sub-channels and the target memberships of each."""

PAGE_ROWS: Final = 50
SESSION_ID_CHARACTERS: Final = 128

# How long answers to client request tokens are kept, and entries of the journal.
IDEMPOTENCY_MS: Final = 24 * 60 * 60 * 1000
RETENTION_GRACE_MS: Final = 30 * 24 * 60 * 60 * 1000
JOURNAL_MS: Final = 10 * 60 * 1000

# Numbers of things, per what they belong to.
QUOTAS: Final = {
    "app instances": 100,
    "users": 100_000,
    "admins": 100,
    "channels": 10_000_000,
    "channel flows": 100,
    "memberships": 10_000,
    "memberships of a user": 20_000,
    "moderators": 1_000,
    "endpoints": 10,
    "elastic channels": 1,
    "sub-channels": 100,
    "memberships of a sub-channel": 1_000,
}
