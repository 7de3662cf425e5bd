"""One transaction's worth of deciding: the transaction, its one `now`, new ids, the events it makes.

`Call` is a unit of work for an API call: it adds who calls and, loaded when first asked for, the rows that most
operations need. Workers use `UnitOfWork` alone.
"""

from collections.abc import Callable, Iterable
from typing import Any, Concatenate, Generic

import msgspec

from campana import arn, page_token, tracing
from campana.api.base import Shape
from campana.api.messaging import Identity
from campana.auth.caller import Caller
from campana.clock import Clock, Ids
from campana.errors import BadRequest, Forbidden
from campana.limits import PAGE_ROWS
from campana.settings import Settings
from campana.store import (
    admins,
    app_instances,
    bans,
    channels,
    identities,
    memberships,
    messages,
    moderators,
    standing,
    sub_channels,
    topics,
)
from campana.store.database import P, Page, Position, R, T, Tx

_DAY_MS = 24 * 60 * 60 * 1000


class UnitOfWork:
    """What everything that decides gets, instead of a clock, a random source and a connection."""

    def __init__(self, tx: Tx, *, now: int, ids: Ids, settings: Settings) -> None:
        self.tx = tx
        self.now = now
        self.ids = ids
        self.settings = settings
        self.trace = ""
        """The traceparent that journal entries are to carry; '': that of the span under way."""
        self._entries: list[topics.Entry] = []
        self._names: dict[str, str | None] = {}

    def journal(self, entry: topics.Entry) -> None:
        """Append `entry` to its topic when the work is done."""
        trace = self.trace or tracing.current().traceparent
        self._entries.append(msgspec.structs.replace(entry, trace=trace) if trace else entry)

    def finish(self) -> None:
        """Write the journal entries, in topic order. The last thing before the commit."""
        if self._entries:
            topics.append(self.tx, self._entries, self.now)

    def identity(self, identity_arn: str) -> Identity:
        """A user or bot with the current name, or the last one."""
        if identity_arn not in self._names:
            self.know(identities.names(self.tx, [identity_arn]))
        return Identity(arn=identity_arn, name=self._names.get(identity_arn) or "")

    def kept_from(self, app_instance_arn: str) -> int:
        """Messages from before this time are hidden by the app instance's retention settings."""
        instance = app_instances.find(self.tx, app_instance_arn)
        if instance is None or instance.retention_days is None:
            return 0
        return self.now - instance.retention_days * _DAY_MS

    def look_up(self, identity_arns: Iterable[str]) -> None:
        """Fetch many names at once, before `identity` is asked for each."""
        self.know(identities.names(self.tx, [each for each in identity_arns if each not in self._names]))

    def know(self, names: dict[str, str | None]) -> None:
        self._names.update(names)


class Units:
    """Makes units of work for those that have no caller: workers."""

    def __init__(self, clock: Clock, ids: Ids, settings: Settings) -> None:
        self._clock = clock
        self._ids = ids
        self._settings = settings

    def run(self, tx: Tx, work: Callable[Concatenate[UnitOfWork, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """`work` with a unit of work in this transaction, and its journal entries written."""
        tx.now = max(self._clock.now(), tx.now)
        unit = UnitOfWork(tx, now=tx.now, ids=self._ids, settings=self._settings)
        result = work(unit, *args, **kwargs)
        unit.finish()
        return result

    def run_on(
        self, tx: Tx, resource: str, work: Callable[Concatenate[UnitOfWork, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """The same, with the resource (an ARN) locked: calls and other workers stay out, and time stands after them."""
        tx.lock(resource)
        return self.run(tx, work, *args, **kwargs)


class once(Generic[T]):
    """`functools.cached_property` without the lock that it has up to Python 3.11: five of them are asked in a send."""

    def __init__(self, find: Callable[[Any], T]) -> None:
        self._find = find
        self.__doc__ = find.__doc__

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, call: Any, owner: type) -> T:
        found: T = self._find(call)
        call.__dict__[self._name] = found
        return found


class Call(UnitOfWork):
    """An API call inside its transaction."""

    def __init__(
        self,
        tx: Tx,
        *,
        now: int,
        ids: Ids,
        settings: Settings,
        request: Shape,
        operation: str,
        caller: Caller,
        page_key: bytes,
        authority: str = "",
        prepared: object = None,
    ) -> None:
        super().__init__(tx, now=now, ids=ids, settings=settings)
        self.request = request
        self.operation = operation
        self.caller = caller
        self.authority = authority
        """The Host that the client called."""
        self.prepared = prepared
        """What the operation's `prepare` read before the call had to queue."""
        self._page_key = page_key

    # Who bears the call

    @once
    def _standing(self) -> standing.Standing | None:
        """None for a call that names no bearer, or no channel."""
        bearer_arn: str | None = getattr(self.request, "chime_bearer", None)
        channel_arn: str | None = getattr(self.request, "channel_arn", None)
        if bearer_arn is None or channel_arn is None:
            return None
        return standing.find(self.tx, bearer_arn, channel_arn)

    @once
    def bearer(self) -> identities.Identity:
        """The user or bot in whose name the call is made. Raises BadRequest (none given) or Forbidden (none alive)."""
        bearer_arn: str | None = getattr(self.request, "chime_bearer", None)
        if bearer_arn is None:
            raise BadRequest(
                "The header x-amz-chime-bearer is required: the ARN of the user or bot who makes the call."
            )
        found = identities.find(self.tx, bearer_arn) if self._standing is None else self._standing.bearer
        if found is None:
            raise Forbidden
        self.know({found.arn: found.name})
        return found

    @once
    def is_admin(self) -> bool:
        return admins.find(self.tx, self.bearer.app_instance_arn, self.bearer.arn) is not None

    # What the call is about

    @once
    def channel(self) -> channels.Channel:
        """The channel of the request; Forbidden if there is none, or none in the bearer's app instance."""
        channel_arn: str = getattr(self.request, "channel_arn", "")
        found = channels.find(self.tx, channel_arn) if self._standing is None else self._standing.channel
        if found is None:
            raise Forbidden
        if getattr(self.request, "chime_bearer", None) is not None:
            if found.app_instance_arn != self.bearer.app_instance_arn:
                raise Forbidden
        elif app_instances.find(self.tx, found.app_instance_arn) is None:
            raise Forbidden
        return found

    @property
    def processors(self) -> str | None:
        """Of the flow that the channel is associated with: JSON of its ProcessorList. For calls that name a bearer."""
        assert self._standing is not None
        return self._standing.processors

    @once
    def sub_channel_id(self) -> str:
        """The sub-channel that the call is about; '' in a channel that has none.

        Raises BadRequest in an elastic channel if the request names none, Forbidden if there is no such one.
        """
        if self.channel.elastic is None:
            return ""
        if self.named_sub_channel is None:
            raise BadRequest("In an elastic channel, SubChannelId is required.")
        if sub_channels.find(self.tx, self.channel.arn, self.named_sub_channel) is None:
            raise Forbidden
        return self.named_sub_channel

    @property
    def named_sub_channel(self) -> str | None:
        """The request's SubChannelId."""
        named: str | None = getattr(self.request, "sub_channel_id", None)
        return named

    def check_sub_channel(self) -> None:
        """Raise BadRequest if the request names a sub-channel of a channel that has none."""
        if self.named_sub_channel is not None and self.channel.elastic is None:
            raise BadRequest("SubChannelId is for elastic channels only.")

    @once
    def membership(self) -> memberships.Membership | None:
        """The bearer's membership in the channel; in an elastic one in the sub-channel that the request names, or
        the oldest if it names none."""
        if self.channel.elastic is None:
            if self._standing is not None:
                return self._standing.membership
            return memberships.find(self.tx, self.channel.arn, self.bearer.arn)
        if self.named_sub_channel is not None:
            return memberships.find(self.tx, self.channel.arn, self.bearer.arn, self.named_sub_channel)
        return next(iter(memberships.of_member(self.tx, self.channel.arn, self.bearer.arn)), None)

    def require_not_elastic(self) -> None:
        """BadRequest in an elastic channel."""
        if self.channel.elastic is not None:
            raise BadRequest("This is not supported in elastic channels.")

    @once
    def is_moderator(self) -> bool:
        return moderators.find(self.tx, self.channel.arn, self.bearer.arn) is not None

    @once
    def is_banned(self) -> bool:
        return bans.find(self.tx, self.channel.arn, self.bearer.arn) is not None

    @once
    def message(self) -> messages.Message | None:
        """The message of the request, if it is in this channel."""
        message_id: str = getattr(self.request, "message_id", "")
        found = messages.find(self.tx, self.channel.arn, message_id)
        if found is None or found.sub_channel_id != self.sub_channel_id or found.created_at < self.oldest_kept:
            return None
        return found

    @once
    def oldest_kept(self) -> int:
        """Messages from before this time are hidden by the app instance's retention settings."""
        return self.kept_from(self.channel.app_instance_arn)

    # Paging

    @property
    def limit(self) -> int:
        """How many items the page may have."""
        asked: int | None = getattr(self.request, "max_results", None)
        return PAGE_ROWS if asked is None else asked

    @property
    def after(self) -> Position | None:
        """The position that the request's NextToken stands for; None: the first page. Raises BadRequest."""
        token: str | None = getattr(self.request, "next_token", None)
        if not token:
            return None
        try:
            return page_token.unseal(token, self._list_name, self._page_key)
        except page_token.NotAToken:
            raise BadRequest("NextToken is not one that this list gave out.") from None

    def token(self, page: Page[R]) -> str | None:
        """The NextToken for the page after this one."""
        return None if page.next is None else page_token.seal(page.next, self._list_name, self._page_key)

    @property
    def _list_name(self) -> str:
        request = self.request
        names = ("app_instance_arn", "channel_arn", "sub_channel_id", "channel_flow_arn", "app_instance_user_arn")
        of = (getattr(request, name, None) or "" for name in names)
        return "\0".join((self.operation, *of, self.caller.account))


def parsed(text: str, member: str) -> arn.Arn:
    """The ARN in a request's member; raises BadRequest naming it."""
    try:
        return arn.parse(text)
    except arn.NotAnArn:
        raise BadRequest(f"Value at '{member}' is not an ARN of this service.") from None
