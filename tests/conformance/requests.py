"""Known-good requests: for each operation one or more that are accepted, and together hold every member it has.

Each is made anew from the world when it is to be sent, and may be sent once.
"""

from collections.abc import Callable

from tests.conformance.world import Members, World

Good = Callable[[World], Members]

TAGS = [{"Key": "team", "Value": "blue"}]
USER_EXPIRATION = {"ExpirationDays": 30, "ExpirationCriterion": "CREATED_TIMESTAMP"}
CHANNEL_EXPIRATION = {"ExpirationDays": 30, "ExpirationCriterion": "LAST_MESSAGE_TIMESTAMP"}


# Channels


def create_channel(world: World) -> Members:
    return {
        "AppInstanceArn": world.app,
        "Name": "Lobby",
        "Mode": "RESTRICTED",
        "Privacy": "PRIVATE",
        "Metadata": "m",
        "ClientRequestToken": world.id(),
        "Tags": TAGS,
        "ChimeBearer": world.ann.arn,
        "ChannelId": world.id(),
        "MemberArns": [world.bob.arn],
        "ModeratorArns": [world.mod.arn],
        "ExpirationSettings": CHANNEL_EXPIRATION,
    }


def create_elastic_channel(world: World) -> Members:
    return {
        "AppInstanceArn": world.other_app,  # room for one, which `AFTER` makes free again
        "Name": "Crowd",
        "ClientRequestToken": world.id(),
        "ChimeBearer": world.stranger.arn,
        "ElasticChannelConfiguration": {
            "MaximumSubChannels": 2,
            "TargetMembershipsPerSubChannel": 2,
            "MinimumMembershipPercentage": 40,
        },
    }


def _room(world: World) -> Members:
    return {"ChannelArn": world.room, "ChimeBearer": world.ann.arn}


def _new_room(world: World) -> Members:
    return {"ChannelArn": world.ann.makes_channel(), "ChimeBearer": world.ann.arn}


def update_channel(world: World) -> Members:
    return {**_new_room(world), "Name": "Hall", "Mode": "UNRESTRICTED", "Metadata": "n"}


def list_channels(world: World) -> Members:
    return {
        "AppInstanceArn": world.app,
        "Privacy": "PUBLIC",
        "MaxResults": 3,
        "NextToken": "",
        "ChimeBearer": world.admin.arn,
    }


def search_channels(world: World) -> Members:
    return {
        "ChimeBearer": world.bob.arn,
        "Fields": [{"Key": "MEMBERS", "Operator": "INCLUDES", "Values": [world.bob.arn]}],
        "MaxResults": 3,
        "NextToken": "",
    }


def put_channel_expiration_settings(world: World) -> Members:
    return {**_new_room(world), "ExpirationSettings": CHANNEL_EXPIRATION}


def _membership_of_bob(world: World) -> Members:
    return {"ChannelArn": world.room, "AppInstanceUserArn": world.bob.arn, "ChimeBearer": world.bob.arn}


def _page(world: World) -> Members:
    return {"MaxResults": 3, "NextToken": ""}


def _list_of_ann(world: World) -> Members:
    return {"AppInstanceUserArn": world.ann.arn, "ChimeBearer": world.ann.arn, **_page(world)}


def list_sub_channels(world: World) -> Members:
    return {"ChannelArn": world.elastic, "ChimeBearer": world.ann.arn, **_page(world)}


# Memberships, moderators, bans, preferences


def _with_somebody(world: World) -> Members:
    return {**_room(world), "MemberArn": world.user().arn}


def _with_bob(world: World) -> Members:
    return {**_room(world), "MemberArn": world.bob.arn}


def create_channel_membership(world: World) -> Members:
    return {**_with_somebody(world), "Type": "DEFAULT"}


def _in_sub_channel(world: World, member: str) -> Members:
    return {
        "ChannelArn": world.elastic,
        "ChimeBearer": world.ann.arn,
        "MemberArn": member,
        "SubChannelId": world.sub_channel,
    }


def _new_elastic_moderator(world: World) -> str:
    moderator = world.user().arn
    world.ann.create_channel_moderator(ChannelArn=world.elastic, ChannelModeratorArn=moderator)
    return moderator


def create_elastic_membership(world: World) -> Members:
    return {**_in_sub_channel(world, _new_elastic_moderator(world)), "Type": "DEFAULT"}


def batch_create_channel_membership(world: World) -> Members:
    return {**_room(world), "Type": "DEFAULT", "MemberArns": [world.user().arn]}


def batch_create_elastic_membership(world: World) -> Members:
    request = _in_sub_channel(world, "")
    del request["MemberArn"]
    return {**request, "MemberArns": [_new_elastic_moderator(world)]}


def describe_elastic_membership(world: World) -> Members:
    return _in_sub_channel(world, world.bob.arn)


def list_channel_memberships(world: World) -> Members:
    return {**_room(world), "Type": "DEFAULT", **_page(world)}


def list_elastic_memberships(world: World) -> Members:
    request = _in_sub_channel(world, "")
    del request["MemberArn"]
    return request


def delete_channel_membership(world: World) -> Members:
    member = world.user()
    channel = world.ann.makes_channel(member)
    return {"ChannelArn": channel, "MemberArn": member.arn, "ChimeBearer": world.ann.arn}


def delete_elastic_membership(world: World) -> Members:
    return _in_sub_channel(world, _new_elastic_moderator(world))


def create_channel_moderator(world: World) -> Members:
    return {**_room(world), "ChannelModeratorArn": world.user().arn}


def describe_channel_moderator(world: World) -> Members:
    return {**_room(world), "ChannelModeratorArn": world.mod.arn}


def delete_channel_moderator(world: World) -> Members:
    moderator = world.user().arn
    world.ann.create_channel_moderator(ChannelArn=world.room, ChannelModeratorArn=moderator)
    return {**_room(world), "ChannelModeratorArn": moderator}


def _with_a_banned_one(world: World) -> Members:
    banned = world.user().arn
    world.ann.create_channel_ban(ChannelArn=world.room, MemberArn=banned)
    return {**_room(world), "MemberArn": banned}


def _of_bob_himself(world: World) -> Members:
    return {"ChannelArn": world.room, "MemberArn": world.bob.arn, "ChimeBearer": world.bob.arn}


def put_channel_membership_preferences(world: World) -> Members:
    rule = '{"type": [{"anything-but": ["a"]}]}'
    return {
        **_of_bob_himself(world),
        "Preferences": {"PushNotifications": {"AllowNotifications": "FILTERED", "FilterRule": rule}},
    }


# Messages


def send_channel_message(world: World) -> Members:
    return {
        **_room(world),
        "Content": "hello",
        "Type": "STANDARD",
        "Persistence": "PERSISTENT",
        "Metadata": "m",
        "ClientRequestToken": world.id(),
        "PushNotification": {"Title": "Lobby", "Body": "Ann wrote", "Type": "DEFAULT"},
        "MessageAttributes": {"mention": {"StringValues": ["bob"]}},
        "ContentType": "text/plain",
        "Target": [{"MemberArn": world.bob.arn}],
    }


def send_plain_message(world: World) -> Members:
    return {
        **_room(world),
        "Content": "hello",
        "Type": "CONTROL",
        "Persistence": "NON_PERSISTENT",
        "ClientRequestToken": world.id(),
    }


def send_to_sub_channel(world: World) -> Members:
    return {
        "ChannelArn": world.elastic,
        "ChimeBearer": world.bob.arn,
        "SubChannelId": world.sub_channel,
        "Content": "hello",
        "Type": "STANDARD",
        "Persistence": "PERSISTENT",
        "ClientRequestToken": world.id(),
    }


def _message(world: World) -> Members:
    return {**_room(world), "MessageId": world.message}


def _new_message(world: World) -> Members:
    return {**_room(world), "MessageId": world.ann.sends(world.room)}


def _elastic_message(world: World) -> Members:
    return {
        "ChannelArn": world.elastic,
        "ChimeBearer": world.bob.arn,
        "MessageId": world.elastic_message,
        "SubChannelId": world.sub_channel,
    }


def _new_elastic_message(world: World) -> Members:
    channel = world.elastic
    sent = world.bob.sends(channel, SubChannelId=world.sub_channel)
    return {**_elastic_message(world), "MessageId": sent}


def list_channel_messages(world: World) -> Members:
    return {
        **_room(world),
        "SortOrder": "ASCENDING",
        "NotBefore": "2020-01-02T03:04:05Z",
        "NotAfter": "2099-01-02T03:04:05Z",
        **_page(world),
    }


def list_elastic_messages(world: World) -> Members:
    request = _elastic_message(world)
    del request["MessageId"]
    return request


def update_channel_message(world: World) -> Members:
    return {**_new_message(world), "Content": "hi", "Metadata": "n", "ContentType": "text/html"}


def update_elastic_message(world: World) -> Members:
    return {**_new_elastic_message(world), "Content": "hi"}


def delete_channel_message(world: World) -> Members:
    return {**_new_message(world), "ChimeBearer": world.admin.arn}


def delete_elastic_message(world: World) -> Members:
    return {**_new_elastic_message(world), "ChimeBearer": world.admin.arn}


# Channel flows


def create_channel_flow(world: World) -> Members:
    return {
        "AppInstanceArn": world.app,
        "Processors": world.processors(),
        "Name": "flow",
        "Tags": TAGS,
        "ClientRequestToken": world.id(),
    }


def _flow(world: World) -> Members:
    return {"ChannelFlowArn": world.flow}


def update_channel_flow(world: World) -> Members:
    return {**_flow(world), "Processors": world.processors(), "Name": "flow"}


def delete_channel_flow(world: World) -> Members:
    return {"ChannelFlowArn": world.new_flow()}


def associate_channel_flow(world: World) -> Members:
    return {**_new_room(world), **_flow(world)}


def disassociate_channel_flow(world: World) -> Members:
    request = associate_channel_flow(world)
    world.api("AssociateChannelFlow", request)
    return request


def channel_flow_callback(world: World) -> Members:
    event = world.held_event()
    message = event["ChannelMessage"]
    return {
        "CallbackId": event["CallbackId"],
        "ChannelArn": message["ChannelArn"],
        "DeleteResource": False,
        "ChannelMessage": {
            "MessageId": message["MessageId"],
            "Content": "hi",
            "Metadata": "n",
            "PushNotification": {"Title": "Lobby", "Body": "Ann wrote", "Type": "DEFAULT"},
            "MessageAttributes": {"mention": {"StringValues": ["bob"]}},
            "ContentType": "text/plain",
        },
    }


def elastic_channel_flow_callback(world: World) -> Members:
    event = world.held_event(elastic=True)
    message = event["ChannelMessage"]
    return {
        "CallbackId": event["CallbackId"],
        "ChannelArn": message["ChannelArn"],
        "ChannelMessage": {"MessageId": message["MessageId"], "SubChannelId": message["SubChannelId"]},
    }


# Sessions, streaming, tags


def put_messaging_streaming_configurations(world: World) -> Members:
    return {
        "AppInstanceArn": world.app,
        "StreamingConfigurations": [
            {"DataType": "Channel", "ResourceArn": world.target.resource("KINESIS_STREAM_ARN")},
        ],
    }


def _app_instance(world: World) -> Members:
    return {"AppInstanceArn": world.app}


def get_messaging_streaming_configurations(world: World) -> Members:
    world.api("PutMessagingStreamingConfigurations", put_messaging_streaming_configurations(world))
    return _app_instance(world)


def _new_tagged(world: World) -> str:
    return world.ann.makes_channel(Tags=TAGS)


# Identity


def create_app_instance(world: World) -> Members:
    return {"Name": f"conformance {world.run}", "Metadata": "m", "ClientRequestToken": world.id(), "Tags": TAGS}


def update_app_instance(world: World) -> Members:
    return {**_app_instance(world), "Name": f"conformance {world.run}", "Metadata": "m"}


def delete_app_instance(world: World) -> Members:
    return {"AppInstanceArn": world.app_instance("to be deleted")}


def put_app_instance_retention_settings(world: World) -> Members:
    settings = {"ChannelRetentionSettings": {"RetentionDays": 30}}
    return {"AppInstanceArn": world.other_app, "AppInstanceRetentionSettings": settings}


def create_app_instance_user(world: World) -> Members:
    return {
        "AppInstanceArn": world.app,
        "AppInstanceUserId": world.id(),
        "Name": "Ann",
        "Metadata": "m",
        "ClientRequestToken": world.id(),
        "Tags": TAGS,
        "ExpirationSettings": USER_EXPIRATION,
    }


def _user(world: World) -> Members:
    return {"AppInstanceUserArn": world.eve.arn}


def _new_user(world: World) -> Members:
    return {"AppInstanceUserArn": world.user().arn}


def create_app_instance_admin(world: World) -> Members:
    return {**_app_instance(world), "AppInstanceAdminArn": world.user().arn}


def describe_app_instance_admin(world: World) -> Members:
    return {**_app_instance(world), "AppInstanceAdminArn": world.admin.arn}


def delete_app_instance_admin(world: World) -> Members:
    return {**_app_instance(world), "AppInstanceAdminArn": world.new_admin().arn}


def create_app_instance_bot(world: World) -> Members:
    return {
        "AppInstanceArn": world.app,
        "Name": "Bot",
        "Metadata": "m",
        "ClientRequestToken": world.id(),
        "Tags": TAGS,
        "Configuration": world.lex(),
    }


def create_older_bot(world: World) -> Members:
    lex = world.lex()["Lex"]
    del lex["InvokedBy"]
    return {**create_app_instance_bot(world), "Configuration": {"Lex": {**lex, "RespondsTo": "STANDARD_MESSAGES"}}}


def _bot(world: World) -> Members:
    return {"AppInstanceBotArn": world.bot.arn}


def _new_bot(world: World) -> Members:
    return {"AppInstanceBotArn": world.new_bot().arn}


def update_app_instance_bot(world: World) -> Members:
    return {**_new_bot(world), "Name": "Bot", "Metadata": "m", "Configuration": world.lex()}


def update_older_bot(world: World) -> Members:
    configuration = create_older_bot(world)["Configuration"]
    return {**_new_bot(world), "Name": "Bot", "Metadata": "", "Configuration": configuration}


def register_app_instance_user_endpoint(world: World) -> Members:
    return {
        **_new_user(world),
        "Name": "phone",
        "Type": "APNS",
        "ResourceArn": world.target.resource("PINPOINT_APP_ARN"),
        "EndpointAttributes": {"DeviceToken": world.id(), "VoipDeviceToken": "voip"},
        "ClientRequestToken": world.id(),
        "AllowMessages": "ALL",
    }


def _endpoint(world: World) -> Members:
    user = world.user()
    return {"AppInstanceUserArn": user.arn, "EndpointId": world.new_endpoint(user)}


def update_app_instance_user_endpoint(world: World) -> Members:
    return {**_endpoint(world), "Name": "tablet", "AllowMessages": "NONE"}


GOOD: dict[str, list[Good]] = {
    "AssociateChannelFlow": [associate_channel_flow],
    "BatchCreateChannelMembership": [batch_create_channel_membership, batch_create_elastic_membership],
    "ChannelFlowCallback": [channel_flow_callback, elastic_channel_flow_callback],
    "CreateChannel": [create_channel, create_elastic_channel],
    "CreateChannelBan": [_with_somebody],
    "CreateChannelFlow": [create_channel_flow],
    "CreateChannelMembership": [create_channel_membership, create_elastic_membership],
    "CreateChannelModerator": [create_channel_moderator],
    "DeleteChannel": [_new_room],
    "DeleteChannelBan": [_with_a_banned_one],
    "DeleteChannelFlow": [delete_channel_flow],
    "DeleteChannelMembership": [delete_channel_membership, delete_elastic_membership],
    "DeleteChannelMessage": [delete_channel_message, delete_elastic_message],
    "DeleteChannelModerator": [delete_channel_moderator],
    "DeleteMessagingStreamingConfigurations": [_app_instance],
    "DescribeChannel": [_room],
    "DescribeChannelBan": [_with_a_banned_one],
    "DescribeChannelFlow": [_flow],
    "DescribeChannelMembership": [_with_bob, describe_elastic_membership],
    "DescribeChannelMembershipForAppInstanceUser": [_membership_of_bob],
    "DescribeChannelModeratedByAppInstanceUser": [
        lambda world: {**_room(world), "AppInstanceUserArn": world.ann.arn},
    ],
    "DescribeChannelModerator": [describe_channel_moderator],
    "DisassociateChannelFlow": [disassociate_channel_flow],
    "GetChannelMembershipPreferences": [_of_bob_himself],
    "GetChannelMessage": [_message, _elastic_message],
    "GetChannelMessageStatus": [_message, _elastic_message],
    "GetMessagingSessionEndpoint": [lambda world: {"NetworkType": "IPV4_ONLY"}],
    "GetMessagingStreamingConfigurations": [get_messaging_streaming_configurations],
    "ListChannelBans": [lambda world: {**_room(world), **_page(world)}],
    "ListChannelFlows": [lambda world: {**_app_instance(world), **_page(world)}],
    "ListChannelMemberships": [list_channel_memberships, list_elastic_memberships],
    "ListChannelMembershipsForAppInstanceUser": [_list_of_ann],
    "ListChannelMessages": [list_channel_messages, list_elastic_messages],
    "ListChannelModerators": [lambda world: {**_room(world), **_page(world)}],
    "ListChannels": [list_channels],
    "ListChannelsAssociatedWithChannelFlow": [lambda world: {**_flow(world), **_page(world)}],
    "ListChannelsModeratedByAppInstanceUser": [_list_of_ann],
    "ListSubChannels": [list_sub_channels],
    "PutChannelExpirationSettings": [put_channel_expiration_settings],
    "PutChannelMembershipPreferences": [put_channel_membership_preferences],
    "PutMessagingStreamingConfigurations": [put_messaging_streaming_configurations],
    "RedactChannelMessage": [_new_message, _new_elastic_message],
    "SearchChannels": [search_channels],
    "SendChannelMessage": [send_channel_message, send_plain_message, send_to_sub_channel],
    "UpdateChannel": [update_channel],
    "UpdateChannelFlow": [update_channel_flow],
    "UpdateChannelMessage": [update_channel_message, update_elastic_message],
    "UpdateChannelReadMarker": [lambda world: {"ChannelArn": world.room, "ChimeBearer": world.bob.arn}],
    # in both services
    "ListTagsForResource": [lambda world: {"ResourceARN": world.room}],
    "TagResource": [lambda world: {"ResourceARN": world.ann.makes_channel(), "Tags": TAGS}],
    "UntagResource": [lambda world: {"ResourceARN": _new_tagged(world), "TagKeys": ["team"]}],
    # identity
    "CreateAppInstance": [create_app_instance],
    "CreateAppInstanceAdmin": [create_app_instance_admin],
    "CreateAppInstanceBot": [create_app_instance_bot, create_older_bot],
    "CreateAppInstanceUser": [create_app_instance_user],
    "DeleteAppInstance": [delete_app_instance],
    "DeleteAppInstanceAdmin": [delete_app_instance_admin],
    "DeleteAppInstanceBot": [_new_bot],
    "DeleteAppInstanceUser": [_new_user],
    "DeregisterAppInstanceUserEndpoint": [_endpoint],
    "DescribeAppInstance": [_app_instance],
    "DescribeAppInstanceAdmin": [describe_app_instance_admin],
    "DescribeAppInstanceBot": [_bot],
    "DescribeAppInstanceUser": [_user],
    "DescribeAppInstanceUserEndpoint": [_endpoint],
    "GetAppInstanceRetentionSettings": [_app_instance],
    "ListAppInstanceAdmins": [lambda world: {**_app_instance(world), **_page(world)}],
    "ListAppInstanceBots": [lambda world: {**_app_instance(world), **_page(world)}],
    "ListAppInstanceUserEndpoints": [lambda world: {**_user(world), **_page(world)}],
    "ListAppInstanceUsers": [lambda world: {**_app_instance(world), **_page(world)}],
    "ListAppInstances": [_page],
    "PutAppInstanceRetentionSettings": [put_app_instance_retention_settings],
    "PutAppInstanceUserExpirationSettings": [
        lambda world: {**_new_user(world), "ExpirationSettings": USER_EXPIRATION},
    ],
    "RegisterAppInstanceUserEndpoint": [register_app_instance_user_endpoint],
    "UpdateAppInstance": [update_app_instance],
    "UpdateAppInstanceBot": [update_app_instance_bot, update_older_bot],
    "UpdateAppInstanceUser": [lambda world: {**_new_user(world), "Name": "Ann", "Metadata": "m"}],
    "UpdateAppInstanceUserEndpoint": [update_app_instance_user_endpoint],
}


def _delete_channel(world: World, request: Members, answer: Members) -> None:
    bearer = request["ChimeBearer"]
    world.api("DeleteChannel", {"ChannelArn": answer["ChannelArn"], "ChimeBearer": bearer})


def _delete_app_instance(world: World, request: Members, answer: Members) -> None:
    world.api("DeleteAppInstance", {"AppInstanceArn": answer["AppInstanceArn"]})


def _delete_flow(world: World, request: Members, answer: Members) -> None:
    world.api("DeleteChannelFlow", {"ChannelFlowArn": answer["ChannelFlowArn"]})


AFTER: dict[str, Callable[[World, Members, Members], None]] = {
    "CreateChannel": _delete_channel,
    "CreateAppInstance": _delete_app_instance,
    "CreateChannelFlow": _delete_flow,
}
"""What takes back what an accepted request has made, where there may be few of its kind."""


def send_good(world: World, service: str, name: str, request: Members) -> Members:
    """Send a request that is to be accepted, and take back what it makes if that is scarce."""
    answer = world.api(name, request, service=service)
    if name in AFTER:
        AFTER[name](world, request, answer)
    return answer
