"""SearchChannels: a walk of bounded length through the memberships of whoever has fewest of them."""

from typing import Final

from campana import arn, views
from campana.api.messaging import SearchChannelsRequest, SearchChannelsResponse, SearchField
from campana.auth.roles import USER
from campana.errors import BadRequest, Forbidden
from campana.operations.registry import operation
from campana.store import counts, search
from campana.store.channels import Listed
from campana.store.database import Page, Position
from campana.unit_of_work import Call, parsed

STEP_MAX: Final = 100
"""Memberships that are looked at together."""
LOOK_UPS_MAX: Final = 10_000
"""Of rows, in one call: then the page ends, short or empty as it may be, with a NextToken."""


@operation(on=None, allow=[{USER}], reads=True, iam=())
def search_channels(call: Call, request: SearchChannelsRequest) -> SearchChannelsResponse:
    """The bearer's channels, an admin's all channels, whose members include, or are just, the users of every field.

    HIDDEN members do not count, and elastic channels are left out (spec/api.md §2).
    """
    includes = _values(request.fields, "INCLUDES")
    equals = {frozenset(field.values) for field in request.fields if field.operator == "EQUALS"}
    wanted = list(dict.fromkeys((*includes, *_values(request.fields, "EQUALS"))))
    for member in [parsed(each, "fields.values") for each in wanted]:
        if member.kind not in (arn.Kind.USER, arn.Kind.BOT):
            raise BadRequest("Channels are searched by their members: users and bots.")
        if member.app_instance != call.bearer.app_instance_arn:
            raise Forbidden
    if equals and (len(equals) > 1 or not set(wanted) <= next(iter(equals))):
        return SearchChannelsResponse(channels=[])
    page = _page(call, wanted, just_them=bool(equals))
    return SearchChannelsResponse(
        channels=views.channel_summaries(call, call.bearer.arn, page.rows), next_token=call.token(page)
    )


def _values(fields: list[SearchField], operator: str) -> list[str]:
    return [value for field in fields if field.operator == operator for value in field.values]


def _page(call: Call, wanted: list[str], *, just_them: bool) -> Page[Listed]:
    """Some of the channels, in the order in which the member who is walked joined them."""
    those = wanted if call.is_admin or call.bearer.arn in wanted else [call.bearer.arn, *wanted]
    numbers = counts.of_many(call.tx, those, "memberships of a user")
    rarest_first = sorted(those, key=lambda each: numbers.get(each, 0))
    walked_arn, after = _position(call, rarest_first)
    affordable = max(1, LOOK_UPS_MAX // (len(those) + 3))  # of each channel also its membership, its size and its row
    step = min(STEP_MAX, affordable)
    found: list[Listed] = []
    for _ in range(affordable // step):
        walk = search.candidates(call.tx, walked_arn, after, step)
        rows = _narrowed(call, [each.channel_arn for each in walk.rows], rarest_first, wanted, just_them=just_them)
        for candidate in walk.rows:
            if candidate.channel_arn not in rows:
                continue
            if len(found) == call.limit:
                return Page(found, (walked_arn, *(after or ())))
            found.append(rows[candidate.channel_arn])
            after = (candidate.created_at, candidate.channel_arn, candidate.sub_channel_id)
        after = walk.next
        if after is None:
            return Page(found, None)
    return Page(found, (walked_arn, *(after or ())))


def _position(call: Call, rarest_first: list[str]) -> tuple[str, Position | None]:
    """Whose memberships are walked, and the one to go on after: later pages stay with whom the first one chose."""
    if call.after is None:
        return rarest_first[0], None
    walked_arn, *after = call.after
    if walked_arn not in rarest_first:
        raise BadRequest("NextToken is not one that this search gave out.")
    return str(walked_arn), tuple(after)


def _narrowed(
    call: Call, channel_arns: list[str], rarest_first: list[str], wanted: list[str], *, just_them: bool
) -> dict[str, Listed]:
    """Those of the channels that are searched for, by ARN."""
    left = channel_arns
    if left and just_them:
        left = search.with_visible_members(call.tx, left, len(wanted))
    for member_arn in rarest_first:
        if not left:
            return {}
        narrow = search.with_visible_member if member_arn in wanted else search.with_member
        left = narrow(call.tx, left, member_arn)
    return {row.channel_arn: row for row in search.summaries(call.tx, left)} if left else {}
