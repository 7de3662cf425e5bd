from pathlib import Path

from tests.harness import App, Processor, calls_back, refused, running

SMALL = {"MaximumSubChannels": 2, "TargetMembershipsPerSubChannel": 4, "MinimumMembershipPercentage": 40}


def _joins(mod, channel, user) -> str:  # type: ignore[no-untyped-def]
    return mod.create_channel_membership(ChannelArn=channel, MemberArn=user.arn, Type="DEFAULT")["SubChannelId"]


def _subs(mod, channel):  # type: ignore[no-untyped-def]
    found = mod.list_sub_channels(ChannelArn=channel)["SubChannels"]
    return {each["SubChannelId"]: each["MembershipCount"] for each in found}


def test_split_read_and_join_again(tmp_path: Path, processor: Processor) -> None:
    with running(tmp_path) as server:
        app = App(server)
        mod = app.user("mod")
        users = app.users(*(f"u{n}" for n in range(8)))
        channel = mod.makes_channel(ElasticChannelConfiguration=SMALL, Privacy="PUBLIC")
        assert _subs(mod, channel) == {}
        first = {_joins(mod, channel, user) for user in users[:4]}
        assert len(first) == 1
        (one,) = first
        heard = users[3].connects()
        two = _joins(mod, channel, users[4])
        assert two != one and sorted(_subs(mod, channel).values()) == [2, 3]
        moved = heard.next()
        assert (moved.type, moved.payload["SubChannelId"]) == ("UPDATE_CHANNEL_MEMBERSHIP", two)
        assert heard.until("CREATE_CHANNEL_MEMBERSHIP")[-1].payload["Member"]["Arn"] == users[4].arn
        users[4].sends(channel, "hi", SubChannelId=two)
        assert heard.next().payload["Content"] == "hi"
        with refused("BadRequest"):
            users[4].sends(channel, "where?")
        for who in (users[0], app.user("outsider")):
            with refused("Forbidden"):
                who.reads(channel, SubChannelId=two)
        assert [each["Content"] for each in mod.reads(channel, SubChannelId=two)] == ["hi"]
        with refused("Forbidden"):
            mod.sends(channel, "no member", SubChannelId=two)
        mod.create_channel_membership(ChannelArn=channel, MemberArn=mod.arn, Type="DEFAULT", SubChannelId=two)
        assert sorted(_subs(mod, channel).values()) == [2, 3]
        for user in users[5:8]:
            _joins(mod, channel, user)
        assert sorted(_subs(mod, channel).values()) == [4, 4]
        late = app.user("late")
        with refused("ResourceLimitExceeded"):
            _joins(mod, channel, late)

        mod.associate_channel_flow(ChannelArn=channel, ChannelFlowArn=app.flow(processor.arn))
        users[4].sends(channel, "pending", SubChannelId=two)
        event = processor.takes()
        assert event["ChannelMessage"]["SubChannelId"] == two
        watching = mod.connects()
        in_two = [
            m["Member"]["Arn"]
            for m in mod.list_channel_memberships(ChannelArn=channel, SubChannelId=two)["ChannelMemberships"]
        ]
        in_one = [
            m["Member"]["Arn"]
            for m in mod.list_channel_memberships(ChannelArn=channel, SubChannelId=one)["ChannelMemberships"]
        ]
        for arn in [*in_one[:2], *[a for a in in_two if a not in (mod.arn, users[4].arn)]]:
            mod.delete_channel_membership(ChannelArn=channel, MemberArn=arn)
        server.clock.advance(ms=1_500)
        server.settle()
        left = _subs(mod, channel)
        assert left == {one: 3}, (left, one, two)
        end = watching.until("DELETE_CHANNEL_MEMBERSHIP", Member={"Arn": mod.arn, "Name": "Mod"})[-1]
        assert end.payload["SubChannelId"] == two
        with refused("Forbidden"):
            calls_back(app, event)
        with refused("Forbidden"):
            mod.reads(channel, SubChannelId=two)
        rows = server.writes(lambda tx: tx.scalar("SELECT COUNT(*) FROM messages WHERE sub_channel_id = :s", s=two))
        assert rows == 0
        watching.close()
        heard.close()
