"""Resource counts against their quotas: one look-up for each check, however many rows there are."""

from campana import arn, limits
from campana.errors import ResourceLimitExceeded
from campana.settings import Settings, value_at
from campana.store import counts, quotas
from campana.store.database import Tx
from campana.unit_of_work import Call, UnitOfWork


def take(call: Call, owner: str, what: str, number: int = 1) -> None:
    """Count `number` more of `what` (a key of `limits.QUOTAS`) for `owner`; raises ResourceLimitExceeded."""
    check(call, owner, what, number)
    counts.add(call.tx, owner, what, number)


def check(call: Call, owner: str, what: str, number: int = 1) -> None:
    """Raise ResourceLimitExceeded if `take` would."""
    call.tx.lock(owner)  # nobody else is to count meanwhile
    quota = limits.QUOTAS[what]
    within = arn.app_instance_of(owner)
    used = quotas.used(call.tx, owner=owner, what=what, app_instance_arn=within, name=quota.name)
    most = value_at(call.settings, quota.path) if used.quota is None else used.quota
    if used.count + number > most:
        raise ResourceLimitExceeded(f"The quota of {most:,} {what} is used up.")


def give_back(unit: UnitOfWork, owner: str, what: str, number: int = 1) -> None:
    """As many fewer."""
    counts.add(unit.tx, owner, what, -number)


def in_force(tx: Tx, settings: Settings, app_instance_arn: str, what: str) -> int:
    """The quota itself, for what is not counted but configured."""
    quota = limits.QUOTAS[what]
    adjusted = quotas.find(tx, app_instance_arn, quota.name)
    found: int = value_at(settings, quota.path) if adjusted is None else adjusted
    return found
