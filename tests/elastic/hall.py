"""What the tests of elastic channels say often."""

from dataclasses import dataclass
from typing import Any

from tests.harness import App, RunningServer, User


def configured(sub_channels: int, target: int, percentage: int = 40) -> dict[str, int]:
    """An ElasticChannelConfiguration."""
    return {
        "MaximumSubChannels": sub_channels,
        "TargetMembershipsPerSubChannel": target,
        "MinimumMembershipPercentage": percentage,
    }


@dataclass(frozen=True)
class Hall:
    """An elastic channel. Mod made it and so moderates it; root is the admin."""

    app: App
    channel: str
    mod: User
    root: User

    @classmethod
    def of(cls, app: App, *, sub_channels: int = 3, target: int = 4, percentage: int = 40, **more: Any) -> "Hall":
        """With room for `sub_channels` times `target` members. PRIVATE if nothing else is given."""
        mod, root = app.user("mod"), app.admin("root")
        configuration = configured(sub_channels, target, percentage)
        return cls(app, mod.makes_channel(ElasticChannelConfiguration=configuration, **more), mod, root)

    @property
    def server(self) -> RunningServer:
        return self.app.server

    def joins(self, member: User, sub_channel: str | None = None, by: User | None = None) -> str:
        """The member's sub-channel; moderators say which."""
        named = {} if sub_channel is None else {"SubChannelId": sub_channel}
        answer = (by or self.mod).create_channel_membership(
            ChannelArn=self.channel, MemberArn=member.arn, Type="DEFAULT", **named
        )
        joined: str = answer["SubChannelId"]
        return joined

    def leaves(self, *members: User) -> None:
        for member in members:
            self.mod.delete_channel_membership(ChannelArn=self.channel, MemberArn=member.arn)

    def filled(self, number: int) -> list[User]:
        """New members, in the order of joining."""
        members = self.app.users(*(f"u{n:02}" for n in range(number)))
        for member in members:
            self.joins(member)
        return members

    def sizes(self) -> dict[str, int]:
        """Members by sub-channel, in the order of creation, as moderators are told."""
        listed = self.mod.list_sub_channels(ChannelArn=self.channel)["SubChannels"]
        return {each["SubChannelId"]: each["MembershipCount"] for each in listed}

    def names_in(self, sub_channel: str) -> list[str]:
        listed = self.mod.list_channel_memberships(ChannelArn=self.channel, SubChannelId=sub_channel)
        return [each["Member"]["Name"] for each in listed["ChannelMemberships"]]

    def place_of(self, member: User) -> str:
        """The one sub-channel that a member is in, as the member is told."""
        listed = member.list_channel_memberships_for_app_instance_user()["ChannelMemberships"]
        [place] = [each for each in listed if each["ChannelSummary"]["ChannelArn"] == self.channel]
        found: str = place["AppInstanceUserMembershipSummary"]["SubChannelId"]
        return found

    def settles_after(self, *, hours: float = 0, ms: int = 0) -> None:
        """What falls due in this time is done. Then the clock is put back, or what clients sign would be too old."""
        self.server.clock.advance(hours=hours, ms=ms)
        self.server.settle()
        self.server.clock.advance(hours=-hours, ms=-ms)

    def two_rooms(self) -> "Rooms":
        """Five members where four fill a sub-channel: u04 made the second one, and u02 and u03 were moved to it."""
        members = self.filled(5)
        first, second = self.sizes()
        assert self.sizes() == {first: 2, second: 3}
        return Rooms(first, second, members[:2], members[2:])

    def settles(self) -> None:
        """The time comes when sub-channels are balanced, and they are."""
        self.settles_after(ms=1_001)


@dataclass(frozen=True)
class Rooms:
    """Two sub-channels and who is in which."""

    first: str
    second: str
    in_first: list[User]
    in_second: list[User]
