"""Retention: messages older than the app instance keeps them go for good (spec/identity-auth.md §6).

They were hidden at once (`UnitOfWork.kept_from`); here, after the days of grace, they are removed.
"""

from typing import Final

from campana.store import app_instances, channels, messages, sub_channels
from campana.unit_of_work import UnitOfWork

ROUND_PAUSE_MS: Final = 60 * 60 * 1000


def purge(unit: UnitOfWork, limit: int) -> int:
    """Remove up to `limit` messages, looking at no more than `limit` channels; how much there was to do.

    Rounds through all channels of an app instance, an hour apart. How far one has come is in the database, so that
    it goes on there after this step, and after a crash.
    """
    instance = app_instances.to_purge(unit.tx, unit.now)
    if instance is None:
        return 0
    before, left = unit.kept_from(instance.arn), limit
    come_to = instance.retention_purged_to
    ahead = channels.after(unit.tx, instance.arn, come_to, limit)
    for channel in ahead:
        left -= _purge_channel(unit, channel, before, left)
        if left == 0:  # there may be more in this one
            app_instances.purged(unit.tx, instance.arn, to=come_to, next_at=unit.now)
            return limit
        come_to = channel.arn
    over = len(ahead) < limit
    app_instances.purged(
        unit.tx,
        instance.arn,
        to=None if over else come_to,
        next_at=unit.now + ROUND_PAUSE_MS if over else unit.now,
    )
    return 1 + limit - left


def _purge_channel(unit: UnitOfWork, channel: channels.ByArn, before: int, limit: int) -> int:
    parts = [""] if channel.elastic is None else [each.id for each in sub_channels.of(unit.tx, channel.arn)]
    gone = 0
    for part in parts:
        if gone < limit:
            gone += messages.purge(unit.tx, channel.arn, part, before=before, limit=limit - gone)
    return gone
