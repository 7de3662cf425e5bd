"""What quotas count equals what there is, whatever was done, refused or cleaned up in between."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from botocore.exceptions import ClientError
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from campana import limits
from campana.store.database import Row, Tx
from tests.harness import REFUSALS, App, RunningServer, User
from tests.operations.helpers import bot, set_limit
from tests.operations.test_endpoints import register

ROOMS = {
    "users": 7, "admins": 2, "channels": 4, "channel flows": 2, "memberships": 4, "memberships of a user": 4,
    "moderators": 3, "endpoints": 2, "elastic channels": 1,
}  # fmt: skip
"""Quotas so small that they are met."""


@dataclass
class World:
    """An app instance in which somebody who may do everything does things to whatever there is."""

    app: App
    root: User
    people: list[User]
    channels: list[str] = field(default_factory=list)
    flows: list[str] = field(default_factory=list)

    def channel(self, number: int) -> str:
        return self.channels[number % len(self.channels)] if self.channels else f"{self.app.arn}/channel/none"

    def person(self, number: int) -> str:
        return self.people[number % len(self.people)].arn

    def sub_channel(self, channel: str) -> dict[str, str]:
        try:
            found = self.root.list_sub_channels(ChannelArn=channel)["SubChannels"]
        except ClientError:
            return {}
        return {"SubChannelId": found[0]["SubChannelId"]} if found else {}

    # What can be done: each with two numbers that say to what.

    def makes_channel(self, a: int, b: int) -> None:
        members = [self.person(number) for number in range(a, a + b % 3 + 1)]
        self.channels.append(self.root.makes_channel(MemberArns=members, ModeratorArns=[self.person(b)]))

    def makes_elastic_channel(self, a: int, b: int) -> None:
        rooms = {"MaximumSubChannels": 2, "TargetMembershipsPerSubChannel": 2, "MinimumMembershipPercentage": 40}
        self.channels.append(self.root.makes_channel(ModeratorArns=[self.person(a)], ElasticChannelConfiguration=rooms))

    def deletes_channel(self, a: int, b: int) -> None:
        self.root.delete_channel(ChannelArn=self.channel(a))

    def adds(self, a: int, b: int) -> None:
        type = "HIDDEN" if b % 3 == 0 else "DEFAULT"
        self.root.create_channel_membership(ChannelArn=self.channel(a), MemberArn=self.person(b), Type=type)

    def adds_to_sub_channel(self, a: int, b: int) -> None:
        channel = self.channel(a)
        self.root.create_channel_membership(
            ChannelArn=channel, MemberArn=self.person(b), Type="DEFAULT", **self.sub_channel(channel)
        )

    def adds_several(self, a: int, b: int) -> None:
        members = list(dict.fromkeys(self.person(number) for number in range(b, b + 4)))
        self.root.batch_create_channel_membership(ChannelArn=self.channel(a), MemberArns=members)

    def removes(self, a: int, b: int) -> None:
        self.root.delete_channel_membership(ChannelArn=self.channel(a), MemberArn=self.person(b))

    def appoints(self, a: int, b: int) -> None:
        self.root.create_channel_moderator(ChannelArn=self.channel(a), ChannelModeratorArn=self.person(b))

    def dismisses(self, a: int, b: int) -> None:
        self.root.delete_channel_moderator(ChannelArn=self.channel(a), ChannelModeratorArn=self.person(b))

    def bans(self, a: int, b: int) -> None:
        self.root.create_channel_ban(ChannelArn=self.channel(a), MemberArn=self.person(b))

    def lifts_ban(self, a: int, b: int) -> None:
        self.root.delete_channel_ban(ChannelArn=self.channel(a), MemberArn=self.person(b))

    def makes_admin(self, a: int, b: int) -> None:
        self.app.identity.create_app_instance_admin(AppInstanceArn=self.app.arn, AppInstanceAdminArn=self.person(a))

    def takes_admin(self, a: int, b: int) -> None:
        self.app.identity.delete_app_instance_admin(AppInstanceArn=self.app.arn, AppInstanceAdminArn=self.person(a))

    def makes_user(self, a: int, b: int) -> None:
        self.people.append(self.app.user(f"user{a % 9}"))

    def deletes_person(self, a: int, b: int) -> None:
        arn = self.person(a)
        if "/bot/" in arn:
            self.app.identity.delete_app_instance_bot(AppInstanceBotArn=arn)
        else:
            self.app.identity.delete_app_instance_user(AppInstanceUserArn=arn)

    def registers(self, a: int, b: int) -> None:
        register(self.app, self.person(a), f"device{b % 4}")

    def deregisters(self, a: int, b: int) -> None:
        arn = self.person(a)
        found = self.app.identity.list_app_instance_user_endpoints(AppInstanceUserArn=arn)["AppInstanceUserEndpoints"]
        for each in found[:1]:
            self.app.identity.deregister_app_instance_user_endpoint(
                AppInstanceUserArn=arn, EndpointId=each["EndpointId"]
            )

    def makes_flow(self, a: int, b: int) -> None:
        self.flows.append(self.app.flow("http://127.0.0.1:1/none"))

    def deletes_flow(self, a: int, b: int) -> None:
        if self.flows:
            self.app.messaging.delete_channel_flow(ChannelFlowArn=self.flows[a % len(self.flows)])

    def cleans_up(self, a: int, b: int) -> None:
        self.app.server.settle()


Deed = Callable[[World, int, int], None]
DEEDS: list[Deed] = [
    deed for name, deed in vars(World).items() if callable(deed) and deed.__code__.co_varnames[1:3] == ("a", "b")
]


class Count(Row, frozen=True):
    owner: str
    what: str
    number: int


def counted(tx: Tx, app: str) -> list[Count]:
    return tx.all(
        Count,
        "SELECT owner, what, count AS number FROM counts"
        " WHERE substr(owner, 1, CAST(:length AS INTEGER)) = :app AND count <> 0",
        app=app,
        length=len(app),
    )


THERE_ARE = """
    SELECT app_instance_arn AS owner, 'users' AS what, COUNT(*) AS number FROM identities
        WHERE kind = 'user' AND deleted_at IS NULL AND app_instance_arn = :app GROUP BY 1
    UNION ALL SELECT app_instance_arn, 'admins', COUNT(*) FROM admins WHERE app_instance_arn = :app GROUP BY 1
    UNION ALL SELECT app_instance_arn, 'channels', COUNT(*) FROM channels WHERE app_instance_arn = :app GROUP BY 1
    UNION ALL SELECT app_instance_arn, 'elastic channels', COUNT(*) FROM channels
        WHERE app_instance_arn = :app AND elastic IS NOT NULL GROUP BY 1
    UNION ALL SELECT app_instance_arn, 'channel flows', COUNT(*) FROM channel_flows
        WHERE app_instance_arn = :app GROUP BY 1
    UNION ALL SELECT channel_arn, 'memberships', COUNT(*) FROM memberships
        WHERE substr(channel_arn, 1, CAST(:length AS INTEGER)) = :app AND sub_channel_id = '' GROUP BY 1
    UNION ALL SELECT channel_arn, 'moderators', COUNT(*) FROM moderators
        WHERE substr(channel_arn, 1, CAST(:length AS INTEGER)) = :app GROUP BY 1
    UNION ALL SELECT member_arn, 'memberships of a user', COUNT(*) FROM memberships
        WHERE substr(member_arn, 1, CAST(:length AS INTEGER)) = :app GROUP BY 1
    UNION ALL SELECT user_arn, 'endpoints', COUNT(*) FROM endpoints
        WHERE substr(user_arn, 1, CAST(:length AS INTEGER)) = :app GROUP BY 1
"""


def there_are(tx: Tx, app: str) -> list[Count]:
    return tx.all(Count, THERE_ARE, app=app, length=len(app))


def sub_channels(tx: Tx, app: str) -> tuple[list[Count], list[Count]]:
    """What sub-channels say how many regular members they have, and how many there are."""
    said = tx.all(
        Count,
        "SELECT channel_arn AS owner, id AS what, membership_count AS number FROM sub_channels"
        " WHERE substr(channel_arn, 1, CAST(:length AS INTEGER)) = :app",
        app=app,
        length=len(app),
    )
    found = tx.all(
        Count,
        """
        SELECT s.channel_arn AS owner, s.id AS what, COUNT(m.member_arn) AS number FROM sub_channels s
        LEFT JOIN memberships m ON m.channel_arn = s.channel_arn AND m.sub_channel_id = s.id AND NOT EXISTS (
            SELECT 1 FROM moderators o WHERE o.channel_arn = m.channel_arn AND o.moderator_arn = m.member_arn)
        WHERE substr(s.channel_arn, 1, CAST(:length AS INTEGER)) = :app GROUP BY 1, 2
        """,
        app=app,
        length=len(app),
    )
    return said, found


def as_set(counts: list[Count]) -> dict[tuple[str, str], int]:
    return {(each.owner, each.what): each.number for each in counts}


numbers = st.integers(min_value=0, max_value=8)


def test_quotas_count_what_there_is(server: RunningServer) -> None:
    outcomes: Counter[str] = Counter()

    @given(st.lists(st.tuples(st.sampled_from(DEEDS), numbers, numbers), min_size=20, max_size=40))
    @settings(
        max_examples=10, deadline=None, derandomize=True, database=None, phases=[Phase.generate]
    )  # no shrinking: it takes minutes
    def whatever_is_done(deeds: list[tuple[Deed, int, int]]) -> None:
        app = App(server)
        for what, room in ROOMS.items():
            set_limit(server, app.arn, limits.QUOTAS[what].name, room)
        world = World(app, app.admin("root"), [*app.users("user0", "user1", "user2"), bot(app, "helper")])
        for deed, a, b in [(World.makes_channel, 0, 1), (World.makes_elastic_channel, 2, 0), *deeds]:
            outcomes[outcome(world, deed, a, b)] += 1
        server.settle()
        check(app)

    whatever_is_done()

    assert {deed.__name__ for deed in DEEDS} <= outcomes.keys()
    assert {"BadRequest", "Forbidden", "Conflict", "ResourceLimitExceeded"} <= outcomes.keys()


def outcome(world: World, deed: Deed, a: int, b: int) -> str:
    """The name of what was done, or of the refusal."""
    try:
        deed(world, a, b)
    except ClientError as error:
        assert error.response["Code"] in REFUSALS, error  # noqa: PT017
        return str(error.response["Code"])
    return deed.__name__


def check(app: App) -> None:
    """Everything is counted, nothing is above its quota, and nothing is left when the app instance is gone."""
    server = app.server
    found = server.writes(there_are, app.arn)
    assert as_set(server.writes(counted, app.arn)) == as_set(found)
    assert [each for each in found if each.number > ROOMS[each.what]] == []
    said, members = server.writes(sub_channels, app.arn)
    assert as_set(said) == as_set(members)
    app.identity.delete_app_instance(AppInstanceArn=app.arn)
    server.settle()
    assert server.writes(counted, app.arn) == server.writes(there_are, app.arn) == []
