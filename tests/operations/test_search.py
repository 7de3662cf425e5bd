"""SearchChannels: which channels are found, for whom, and that a page looks at a bounded number of rows."""

from typing import Any

import pytest

from campana.operations import search
from tests.harness import App, User, client, refused
from tests.operations.helpers import answered, bot, pages


def field(operator: str, *members: User | str) -> dict[str, Any]:
    arns = [each if isinstance(each, str) else each.arn for each in members]
    return {"Key": "MEMBERS", "Operator": operator, "Values": arns}


def found_by(user: User, *fields: dict[str, Any]) -> list[str]:
    """The ids of the channels."""
    answer = user.search_channels(Fields=list(fields))
    assert "NextToken" not in answer
    return [each["ChannelArn"].rpartition("/")[2] for each in answer["Channels"]]


@pytest.fixture
def people(app: App) -> list[User]:
    """Ann, Bob and Cid, and the channels a, ab, ac, abc and bc, named after their members."""
    ann, bob, cid = app.users("ann", "bob", "cid")
    ann.makes_channel(ChannelId="a")
    ann.makes_channel(members=[bob], ChannelId="ab", Privacy="PUBLIC", Metadata="m")
    ann.makes_channel(members=[cid], ChannelId="ac")
    ann.makes_channel(members=[bob, cid], ChannelId="abc")
    bob.makes_channel(members=[cid], ChannelId="bc", Privacy="PUBLIC")
    return [ann, bob, cid]


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        (["INCLUDES a"], ["a", "ab", "ac", "abc"]),
        (["INCLUDES b"], ["ab", "abc"]),
        (["INCLUDES bc"], ["abc"]),
        (["INCLUDES bbb"], ["ab", "abc"]),
        (["EQUALS a"], ["a"]),
        (["EQUALS ab"], ["ab"]),
        (["EQUALS ba"], ["ab"]),
        (["EQUALS aab"], ["ab"]),
        (["EQUALS b"], []),
        (["EQUALS bc"], []),
        (["INCLUDES a", "INCLUDES b"], ["ab", "abc"]),
        (["INCLUDES ab", "INCLUDES c"], ["abc"]),
        (["INCLUDES b", "EQUALS ab"], ["ab"]),
        (["EQUALS ab", "INCLUDES b"], ["ab"]),
        (["INCLUDES c", "EQUALS ab"], []),
        (["EQUALS ab", "EQUALS ba"], ["ab"]),
        (["EQUALS ab", "EQUALS abc"], []),
    ],
    ids=str,
)
def test_channels_are_found_by_their_members(people: list[User], fields: list[str], expected: list[str]) -> None:
    ann = people[0]
    by_name = dict(zip("abc", people, strict=True))

    asked = [each.split() for each in fields]
    found = found_by(ann, *(field(operator, *(by_name[name] for name in names)) for operator, names in asked))

    assert found == expected


def test_one_searches_ones_own_channels_and_admins_search_all(app: App, people: list[User]) -> None:
    ann, bob, cid = people
    admin, outsider, moderator = app.admin("admin"), app.user("outsider"), app.user("moderator")
    moderator_of = ann.makes_channel(ChannelId="moderated", ModeratorArns=[moderator.arn])

    assert found_by(bob, field("INCLUDES", cid)) == ["abc", "bc"]
    assert found_by(bob, field("EQUALS", ann, cid)) == []
    assert found_by(ann, field("INCLUDES", cid)) == ["ac", "abc"], "the caller need not be named"
    assert found_by(outsider, field("INCLUDES", ann)) == [], "not even the public ones"
    assert found_by(moderator, field("INCLUDES", ann)) == [], moderator_of
    assert found_by(admin, field("INCLUDES", cid)) == ["ac", "abc", "bc"]
    assert found_by(admin, field("EQUALS", bob, cid)) == ["bc"]
    assert found_by(admin, field("INCLUDES", admin)) == []


def test_a_found_channel_is_summarised(people: list[User]) -> None:
    ann, bob, _ = people

    answer = answered(200, ann.search_channels(Fields=[field("EQUALS", ann, bob)]))

    (found,) = answer["Channels"]
    assert found == {
        "Name": "Lobby", "ChannelArn": f"{ann.app.arn}/channel/ab", "Mode": "RESTRICTED", "Privacy": "PUBLIC",
        "Metadata": "m",
    }  # fmt: skip
    assert answer == {"Channels": [found]}


def test_bots_search_and_are_searched_for(app: App, people: list[User]) -> None:
    ann = people[0]
    helper = bot(app, "helper")
    ann.makes_channel(members=[helper], ChannelId="helped")

    assert found_by(helper, field("EQUALS", ann, helper)) == ["helped"]
    assert found_by(ann, field("INCLUDES", helper)) == ["helped"]


def test_hidden_members_do_not_count(app: App, people: list[User]) -> None:
    ann, bob, _ = people
    ghost = app.user("ghost")
    channel = ann.makes_channel(members=[bob], ChannelId="haunted")
    ann.create_channel_membership(ChannelArn=channel, MemberArn=ghost.arn, Type="HIDDEN")

    assert found_by(ann, field("INCLUDES", ghost)) == []
    assert found_by(ann, field("EQUALS", ann, bob, ghost)) == []
    assert found_by(ann, field("EQUALS", ann, bob)) == ["ab", "haunted"]
    assert found_by(ghost, field("EQUALS", ann, bob)) == ["haunted"], "they are members all the same"


def test_who_left_and_what_was_deleted_is_not_found(app: App, people: list[User]) -> None:
    ann, bob, cid = people
    cid.delete_channel_membership(ChannelArn=f"{app.arn}/channel/abc", MemberArn=cid.arn)
    ann.delete_channel(ChannelArn=f"{app.arn}/channel/ac")

    assert found_by(ann, field("INCLUDES", cid)) == []
    assert found_by(ann, field("EQUALS", ann, bob)) == ["ab", "abc"]


def test_elastic_channels_are_left_out(app: App, people: list[User]) -> None:
    ann, bob, _ = people
    elastic = {"MaximumSubChannels": 2, "TargetMembershipsPerSubChannel": 2, "MinimumMembershipPercentage": 40}
    channel = ann.makes_channel(ElasticChannelConfiguration=elastic)
    ann.create_channel_membership(ChannelArn=channel, MemberArn=bob.arn, Type="DEFAULT")

    assert found_by(bob, field("INCLUDES", bob)) == ["ab", "abc", "bc"]
    assert found_by(app.admin("admin"), field("EQUALS", bob)) == []


def test_the_result_is_paged_to_the_end(app: App, people: list[User]) -> None:
    ann, bob, _ = people
    admin = app.admin("admin")
    for number in range(7):
        ann.makes_channel(members=[bob] if number % 2 else None, ChannelId=f"room{number}")

    for user in (ann, admin):
        found = pages(user.search_channels, "Channels", Fields=[field("INCLUDES", ann, bob)], MaxResults=2)
        ids = [[each["ChannelArn"].rpartition("/")[2] for each in page] for page in found]
        assert ids == [["ab", "abc"], ["room1", "room3"], ["room5"]]


def test_a_token_is_good_for_the_same_search_by_the_service_only(people: list[User]) -> None:
    ann = people[0]
    first = ann.search_channels(Fields=[field("INCLUDES", ann)], MaxResults=1)
    of_another_list = ann.list_channel_memberships_for_app_instance_user(MaxResults=1)["NextToken"]

    for token in (of_another_list, first["NextToken"][:-1], "x"):
        with refused("BadRequest"):
            ann.search_channels(Fields=[field("INCLUDES", ann)], NextToken=token)
    assert len(ann.search_channels(Fields=[field("INCLUDES", ann)], NextToken="")["Channels"]) == 4


def test_as_many_as_20_fields_of_20_values_are_searched_for(app: App) -> None:
    ann = app.user("ann")
    ann.makes_channel(ChannelId="a")
    nobodies = [f"{app.arn}/user/nobody{number}" for number in range(400)]
    many = [field("INCLUDES", *nobodies[start : start + 20]) for start in range(0, 400, 20)]

    assert found_by(ann, *many) == []
    assert found_by(ann, *[field("INCLUDES", *[ann] * 20)] * 20) == ["a"]
    for fields in ([*many, many[0]], [field("INCLUDES", *nobodies[:21])]):
        with refused("BadRequest"):
            ann.search_channels(Fields=fields)


@pytest.mark.parametrize(
    "fields",
    [
        None,
        [],
        [{}],
        [{"Key": "MEMBERS", "Operator": "INCLUDES", "Values": []}],
        [{"Key": "MEMBERS", "Operator": "INCLUDES"}],
        [{"Key": "MEMBERS", "Values": ["ARN"]}],
        [{"Operator": "INCLUDES", "Values": ["ARN"]}],
        [{"Key": "NAME", "Operator": "INCLUDES", "Values": ["ARN"]}],
        [{"Key": "MEMBERS", "Operator": "EXCLUDES", "Values": ["ARN"]}],
        [{"Key": "MEMBERS", "Operator": "INCLUDES", "Values": [""]}],
        [{"Key": "MEMBERS", "Operator": "INCLUDES", "Values": ["nonsense"]}],
        [{"Key": "MEMBERS", "Operator": "INCLUDES", "Values": ["ARN/../channel/a"]}],
        [{"Key": "MEMBERS", "Operator": "INCLUDES", "Values": ["ARN" + "x" * 512]}],
        [{"Key": "MEMBERS", "Operator": "INCLUDES", "Values": "ARN"}],
    ],
    ids=str,
)
def test_a_search_of_another_form_is_a_bad_request(app: App, fields: Any) -> None:
    ann = app.user("ann")
    sends_anything = client("chime-sdk-messaging", app.server.url, validates=False)
    for each in fields or []:
        if isinstance(each.get("Values"), list):
            each["Values"] = [value.replace("ARN/..", app.arn).replace("ARN", ann.arn) for value in each["Values"]]

    with refused("BadRequest"):
        sends_anything.search_channels(ChimeBearer=ann.arn, **({} if fields is None else {"Fields": fields}))


def test_a_bearer_is_needed_and_searches_the_own_app_instance(app: App) -> None:
    ann, stranger = app.user("ann"), App(app.server).user("stranger")

    with refused("BadRequest"):
        app.messaging.search_channels(Fields=[field("INCLUDES", ann)])
    with refused("Forbidden"):
        ann.search_channels(Fields=[field("INCLUDES", ann), field("INCLUDES", stranger)])


def test_a_token_is_not_good_for_another_search(app: App) -> None:
    ann, bob, eve = app.users("ann", "bob", "eve")
    for _ in range(2):
        ann.makes_channel(members=[bob])

    token = ann.search_channels(Fields=[field("INCLUDES", bob)], MaxResults=1)["NextToken"]

    with refused("BadRequest"):
        eve.search_channels(Fields=[field("INCLUDES", eve)], NextToken=token)


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
