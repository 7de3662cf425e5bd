"""Whatever happens to an elastic channel, everybody is where they should be, and hears what is said there."""

from collections import Counter

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from campana.operations import elastic_members
from campana.store import channels, memberships, sub_channels, topics
from campana.store.database import Tx
from campana.store.memberships import Membership
from campana.unit_of_work import UnitOfWork
from tests.elastic.hall import Hall
from tests.harness import App, RunningServer, User, refused

SUB_CHANNELS, TARGET, PEOPLE = 2, 3, 8
ANYBODY = st.integers(0, PEOPLE - 1)


class Histories(RuleBasedStateMachine):
    """Members, moderators and banned users of one channel as they should be. Everybody has a live session."""

    def __init__(self, server: RunningServer) -> None:
        super().__init__()
        self.server = server
        app = App(server)
        self.hall = Hall.of(app, sub_channels=SUB_CHANNELS, target=TARGET)
        self.people = [*app.users(*(f"p{n}" for n in range(PEOPLE))), self.hall.mod]
        self.sessions = [user.connects() for user in self.people]
        self.members: set[str] = set()
        self.banned: set[str] = set()
        self.moderating: dict[str, set[str]] = {self.hall.mod.arn: set()}
        """The sub-channels that each moderator has joined."""
        for number in range(SUB_CHANNELS * TARGET):
            self.joins(number)

    def teardown(self) -> None:
        for session in self.sessions:
            session.close()

    # What happens

    @rule(numbers=st.lists(ANYBODY, min_size=1, max_size=3))
    def join(self, numbers: list[int]) -> None:
        for number in numbers:
            self.joins(number)

    def joins(self, number: int) -> None:
        who = self.people[number]
        refusal = self.why_not(who)
        if refusal is not None:
            with refused(refusal):
                self.hall.joins(who)
        else:
            self.hall.joins(who)
            self.members.add(who.arn)

    def why_not(self, who: User) -> str | None:
        if who.arn in self.banned:
            return "Forbidden"
        if who.arn in self.moderating:
            return "BadRequest"
        if who.arn in self.members:
            return "Conflict"
        return "ResourceLimitExceeded" if len(self.members) == SUB_CHANNELS * TARGET else None

    @rule(numbers=st.lists(ANYBODY, min_size=1, max_size=3))
    def leave(self, numbers: list[int]) -> None:
        for number in numbers:
            self.hall.leaves(self.people[number])
            self.is_out(self.people[number])

    @rule(number=ANYBODY)
    def is_banned_or_pardoned(self, number: int) -> None:
        who = self.people[number]
        if who.arn in self.moderating:
            return
        if who.arn in self.banned:
            self.hall.mod.delete_channel_ban(ChannelArn=self.hall.channel, MemberArn=who.arn)
            self.banned.remove(who.arn)
        else:
            self.hall.mod.create_channel_ban(ChannelArn=self.hall.channel, MemberArn=who.arn)
            self.banned.add(who.arn)
            self.is_out(who)

    @rule(number=ANYBODY)
    def is_promoted_or_demoted(self, number: int) -> None:
        who = self.people[number]
        if who.arn in self.banned:
            return
        self.is_out(who)
        role = {"ChannelArn": self.hall.channel, "ChannelModeratorArn": who.arn}
        if who.arn in self.moderating:
            self.hall.mod.delete_channel_moderator(**role)
            del self.moderating[who.arn]
        else:
            self.hall.mod.create_channel_moderator(**role)
            self.moderating[who.arn] = set()

    @rule(number=st.integers(0, PEOPLE), place=st.integers(0, SUB_CHANNELS - 1))
    def a_moderator_joins(self, number: int, place: int) -> None:
        who, places = self.people[number], list(self.hall.sizes())
        if who.arn in self.moderating and place < len(places) and places[place] not in self.moderating[who.arn]:
            self.hall.joins(who, places[place])
            self.moderating[who.arn].add(places[place])

    @rule(steps=st.integers(1, 4))
    def sub_channels_are_balanced(self, steps: int) -> None:
        for _ in range(steps):
            self.server.writes(self.server.server._units.run, self.balance)
        there = set(self.hall.sizes())
        for places in self.moderating.values():
            places &= there

    # What always holds

    @invariant()
    def everybody_is_where_they_should_be(self) -> None:
        regular = [row for row in self.rows() if row.member_arn not in self.moderating]
        moderating = {(row.member_arn, row.sub_channel_id) for row in self.rows() if row.member_arn in self.moderating}

        assert sorted(row.member_arn for row in regular) == sorted(self.members)
        assert moderating == {(arn, place) for arn, places in self.moderating.items() for place in places}

    @invariant()
    def sub_channels_are_counted_and_none_is_too_large(self) -> None:
        sizes = self.hall.sizes()

        assert sizes == dict.fromkeys(sizes, 0) | Counter(
            row.sub_channel_id for row in self.rows() if row.member_arn in self.members
        )
        assert max(sizes.values(), default=0) <= TARGET
        assert len(sizes) <= SUB_CHANNELS

    @invariant()
    def every_session_follows_just_what_its_user_is_in(self) -> None:
        self.server.run(self.server.server._reader.settle())
        hub = self.server.server._reader._hub
        for user in self.people:
            places = [row.sub_channel_id for row in self.rows() if row.member_arn == user.arn]
            expected = [topics.of_user(user.arn), *(topics.of_channel(self.hall.channel, place) for place in places)]
            if places:
                expected.append(topics.of_channel(self.hall.channel))
            [session] = hub._users[user.arn]
            assert sorted(topic.name for topic in session.topics) == sorted(expected)

    # Helpers

    def is_out(self, who: User) -> None:
        self.members.discard(who.arn)
        if who.arn in self.moderating:
            self.moderating[who.arn].clear()

    def balance(self, unit: UnitOfWork) -> None:
        channel = channels.find(unit.tx, self.hall.channel)
        assert channel is not None
        elastic_members.balance(unit, channel)

    def rows(self) -> list[Membership]:
        def read(tx: Tx) -> list[Membership]:
            return memberships.some_of_channel(tx, self.hall.channel, 1_000)

        return self.server.writes(read)


def test_nobody_is_lost_whatever_happens(server: RunningServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sub_channels, "to_balance", lambda tx, now: None)  # the sweeper keeps out
    monkeypatch.setattr(elastic_members, "MOVED_AT_ONCE", 1)

    run_state_machine_as_test(
        lambda: Histories(server),
        settings=settings(
            max_examples=5,
            stateful_step_count=30,
            deadline=None,
            derandomize=True,
            database=None,
            phases=[Phase.generate],  # each step is a call or more: shrinking would take minutes
            suppress_health_check=list(HealthCheck),
        ),
    )
