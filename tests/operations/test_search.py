"""SearchChannels: which channels are found, for whom, and that a page looks at a bounded number of rows."""

from typing import Any

import pytest

from campana.operations import search
from tests.harness import App, User, refused


def field(operator: str, *members: User) -> dict[str, Any]:
    return {"Key": "MEMBERS", "Operator": operator, "Values": [member.arn for member in members]}


def finds(user: User, *fields: dict[str, Any], pages_of: int = 50) -> list[str]:
    """The ARNs on all pages."""
    found: list[str] = []
    more: dict[str, str] = {}
    while True:
        page = user.search_channels(Fields=list(fields), MaxResults=pages_of, **more)
        assert len(page["Channels"]) <= pages_of
        found += [channel["ChannelArn"] for channel in page["Channels"]]
        if "NextToken" not in page:
            return found
        more = {"NextToken": page["NextToken"]}


def test_members_see_their_own_channels_and_admins_all(app: App) -> None:
    ann, bob, eve = app.users("ann", "bob", "eve")
    boss = app.admin("boss")
    both = ann.makes_channel(members=[bob])
    alone = bob.makes_channel()
    three = ann.makes_channel(members=[bob, eve])
    hidden = ann.makes_channel()
    ann.create_channel_membership(ChannelArn=hidden, MemberArn=bob.arn, Type="HIDDEN")
    bob.create_channel(
        AppInstanceArn=app.arn,
        Name="elastic",
        ElasticChannelConfiguration={
            "MaximumSubChannels": 2,
            "TargetMembershipsPerSubChannel": 2,
            "MinimumMembershipPercentage": 40,
        },
    )

    assert finds(ann, field("INCLUDES", bob)) == [both, three]
    assert finds(ann, field("INCLUDES", bob, ann), pages_of=1) == [both, three]
    assert finds(ann, field("EQUALS", ann, bob)) == [both]
    assert finds(ann, field("EQUALS", ann)) == [hidden]  # its other member does not show
    assert finds(bob, field("INCLUDES", ann)) == [both, three, hidden]
    assert finds(bob, field("EQUALS", bob)) == [alone]
    assert finds(eve, field("INCLUDES", bob)) == [three]
    assert finds(eve, field("EQUALS", ann, bob)) == []
    assert finds(boss, field("EQUALS", ann, bob)) == [both]
    assert finds(boss, field("INCLUDES", bob)) == [both, alone, three]
    assert finds(boss, field("INCLUDES", boss)) == []
    assert finds(ann, field("INCLUDES", bob), field("INCLUDES", eve)) == [three]
    assert finds(ann, field("INCLUDES", bob), field("EQUALS", ann, bob, eve)) == [three]
    assert finds(ann, field("EQUALS", ann, bob), field("EQUALS", ann, bob, eve)) == []
    bob.delete_channel_membership(ChannelArn=three, MemberArn=bob.arn)
    assert finds(ann, field("INCLUDES", bob)) == [both]
    assert finds(ann, field("EQUALS", ann, eve)) == [three]


def test_a_token_is_good_for_its_search_alone(app: App) -> None:
    ann, bob, eve = app.users("ann", "bob", "eve")
    for _ in range(2):
        ann.makes_channel(members=[bob])

    token = ann.search_channels(Fields=[field("INCLUDES", bob)], MaxResults=1)["NextToken"]

    with refused("BadRequest"):
        eve.search_channels(Fields=[field("INCLUDES", eve)], NextToken=token)
    with refused("BadRequest"):
        ann.search_channels(Fields=[field("INCLUDES", bob)], NextToken=token[:-1])


def test_a_page_ends_short_when_it_has_looked_at_enough(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    ann, bob = app.users("ann", "bob")
    others = [ann.makes_channel() for _ in range(7)]
    both = ann.makes_channel(members=[bob])
    bobs = [bob.makes_channel() for _ in range(9)]
    assert len({*others, both, *bobs}) == 17
    monkeypatch.setattr(search, "STEP_MAX", 2)
    monkeypatch.setattr(search, "LOOK_UPS_MAX", 4 * (2 + 3))  # four channels

    pages = []
    more: dict[str, str] = {}
    while True:
        page = ann.search_channels(Fields=[field("INCLUDES", bob)], **more)
        pages.append([channel["ChannelArn"] for channel in page["Channels"]])
        if "NextToken" not in page:
            break
        more = {"NextToken": page["NextToken"]}

    assert pages == [[], [both]]  # of Ann's channels, who has fewer


def test_members_join_and_leave_between_two_pages(app: App) -> None:
    ann, bob = app.users("ann", "bob")
    first, second, third = (ann.makes_channel(members=[bob]) for _ in range(3))

    page = ann.search_channels(Fields=[field("INCLUDES", bob)], MaxResults=1)
    for _ in range(9):
        ann.makes_channel()  # now Bob is the one with fewer, but the walk goes on where it was
    ann.delete_channel_membership(ChannelArn=second, MemberArn=bob.arn)
    rest = ann.search_channels(Fields=[field("INCLUDES", bob)], NextToken=page["NextToken"])

    assert [channel["ChannelArn"] for channel in page["Channels"] + rest["Channels"]] == [first, third]
