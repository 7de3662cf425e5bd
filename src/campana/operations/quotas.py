"""Numbers of things: counted when made, refused above the quota (spec/integrations.md §7)."""

from campana import limits
from campana.errors import ResourceLimitExceeded
from campana.store import counts
from campana.unit_of_work import Call, UnitOfWork


def take(call: Call, owner: str, what: str, number: int = 1) -> None:
    """Count `number` more of `what` (a name in `limits.QUOTAS`) for `owner`; raises ResourceLimitExceeded."""
    check(call, owner, what, number)
    counts.add(call.tx, owner, what, number)


def check(call: Call, owner: str, what: str, number: int = 1) -> None:
    """Raise ResourceLimitExceeded if `take` would."""
    call.tx.lock(owner)  # nobody else is to count meanwhile
    quota = limits.QUOTAS[what]
    if counts.of(call.tx, owner, what) + number > quota:
        raise ResourceLimitExceeded(f"The quota of {quota:,} {what} is used up.")


def give_back(unit: UnitOfWork, owner: str, what: str, number: int = 1) -> None:
    """As many fewer."""
    counts.add(unit.tx, owner, what, -number)
