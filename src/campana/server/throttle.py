"""Rates: which calls come too fast and are refused with 429 (spec/integrations.md §7). Off unless asked for.

A call is judged as soon as its bearer is known, before it costs a transaction.
"""

from collections.abc import Hashable, Iterator, Sequence
from typing import Final, NamedTuple

from campana import arn, limits
from campana.api.base import Shape
from campana.auth.caller import Caller, Lookup
from campana.clock import Clock
from campana.errors import Throttled
from campana.limits import Per, Rate
from campana.metrics import Metrics
from campana.operations.registry import Operation
from campana.settings import Settings, value_at
from campana.store import channels, quotas
from campana.token_buckets import Buckets, Take

READ_AGAIN_MS: Final = 1_000
"""What `campana quotas` sets is in force after this long."""
RULES_MAX: Final = 10_000
REFUSALS_PER_SECOND: Final = 20
"""Of one user, channel or whatever calls too fast; more of them are answered after RETRY_AFTER_S."""
RETRY_AFTER_S: Final = 1
HELD_APART: Final = 64


class _Rules(NamedTuple):
    """What is in force in an app instance, as it was read at a time."""

    read_at: int
    enforced: bool
    adjusted: dict[str, int]


class Throttle:
    """Admits calls and sessions of this node, or refuses them."""

    def __init__(self, settings: Settings, look_up: Lookup, clock: Clock, metrics: Metrics | None = None) -> None:
        self._metrics = metrics or Metrics()
        self._settings = settings
        self._look_up = look_up
        self._clock = clock
        self._buckets = Buckets()
        self._held = 0
        self._rules: dict[str, _Rules] = {}

    async def admit(self, operation: Operation, request: Shape, caller: Caller) -> Sequence[Take]:
        """Raises Throttled. Gives what `give_back` may want."""
        now = self._clock.now()
        bearer: str | None = getattr(request, "chime_bearer", None)
        on: str | None = getattr(request, operation.on, None) if operation.on is not None else None
        within = arn.app_instance_of(on or bearer or "")
        here = self._rules_of(within, now) or await self._read_rules_of(within, now)
        everywhere = here
        if within:
            everywhere = self._rules_of(quotas.EVERYWHERE, now) or await self._read_rules_of(quotas.EVERYWHERE, now)
        if not (here.enforced or everywhere.enforced):
            return ()
        shared: list[Take] = []
        own: list[Take] = []
        for rate in await self._rates(operation, request, bearer):
            rules = everywhere if rate.of_account else here
            if rules.enforced:
                key = (rate.name, *_key(rate.per, request, bearer, within, caller))
                is_own = rate.per in (Per.ACCOUNT, Per.BEARER)
                (own if is_own else shared).append((key, self._per_second(rate, rules)))
        if not self._buckets.admit([*own, *shared], now):
            empty = self._buckets.first_empty([*own, *shared], now)
            assert isinstance(empty, tuple)  # its first part is the name of the rate
            self._metrics.throttled.labels(empty[0]).inc()
            await self._hold_back(empty, now)
            raise Throttled("Rate exceeded")
        return shared

    async def _hold_back(self, key: Hashable, now: int) -> None:
        """Who goes on calling without heed of refusals is answered late: many at once would slow all the others."""
        if not self._buckets.admit([(("refusals", key), REFUSALS_PER_SECOND)], now):
            self._held = (self._held + 1) % HELD_APART
            await self._clock.sleep(RETRY_AFTER_S + self._held / HELD_APART)  # not all to come back at once

    def give_back(self, taken: Sequence[Take]) -> None:
        """The caller had no business there: strangers can't use up the rate of a channel."""
        self._buckets.give_back(taken)

    async def admits_session(self, user_arn: str) -> bool:
        """Whether the user may open a live session now."""
        now = self._clock.now()
        within = arn.app_instance_of(user_arn)
        rules = self._rules_of(within, now) or await self._read_rules_of(within, now)
        key = (limits.CONNECTS.name, user_arn)
        if not rules.enforced or self._buckets.admit([(key, self._per_second(limits.CONNECTS, rules))], now):
            return True
        self._metrics.throttled.labels(limits.CONNECTS.name).inc()
        return False

    async def _rates(self, operation: Operation, request: Shape, bearer: str | None) -> Sequence[Rate]:
        found = []
        if bearer is not None:
            found.append(limits.BEARER_CALLS)
        if operation.route.service == "identity":
            found.append(limits.IDENTITY_CALLS)
        if operation.rate is limits.MEMBER_WRITES and await self._is_elastic(getattr(request, "channel_arn", "")):
            found.append(limits.ELASTIC_MEMBER_WRITES)
        elif operation.rate is not None:
            found.append(operation.rate)
        return found

    async def _is_elastic(self, channel_arn: str) -> bool:
        channel = await self._look_up(lambda tx: channels.find(tx, channel_arn))
        return channel is not None and channel.elastic is not None

    def _per_second(self, rate: Rate, rules: _Rules) -> int:
        adjusted = rules.adjusted.get(rate.name)
        found: int = value_at(self._settings, rate.path) if adjusted is None else adjusted
        return found

    def _rules_of(self, app_instance_arn: str, now: int) -> _Rules | None:
        """None: they must be read."""
        rules = self._rules.get(app_instance_arn)
        return rules if rules is not None and 0 <= now - rules.read_at < READ_AGAIN_MS else None

    async def _read_rules_of(self, app_instance_arn: str, now: int) -> _Rules:
        adjusted = await self._look_up(lambda tx: quotas.in_force(tx, app_instance_arn))
        enforced = bool(adjusted.get(limits.RATES_ENFORCED, self._settings.rates.enforce))
        if len(self._rules) >= RULES_MAX:
            self._rules.clear()
        rules = self._rules[app_instance_arn] = _Rules(now, enforced, adjusted)
        return rules


def _key(per: Per, request: Shape, bearer: str | None, app_instance_arn: str, caller: Caller) -> Iterator[Hashable]:
    match per:
        case Per.ACCOUNT:
            yield caller.account
        case Per.APP_INSTANCE:
            yield app_instance_arn
        case Per.BEARER:
            yield bearer
        case Per.USER:
            yield getattr(request, "app_instance_user_arn", None) or bearer
        case Per.CHANNEL:
            yield getattr(request, "channel_arn", None)
        case Per.SUB_CHANNEL:
            yield getattr(request, "channel_arn", None)
            # A processor's callback says it with the message.
            of = getattr(request, "channel_message", request)
            yield getattr(of, "sub_channel_id", None)
