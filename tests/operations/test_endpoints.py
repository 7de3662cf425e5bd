from typing import Any

import pytest

from tests.harness import App, client, refused
from tests.operations.helpers import answered, bot, counted, during, pages, rest_of, rows

PINPOINT = "arn:aws:mobiletargeting:us-east-1:123456789012:apps/0123456789abcdef0123456789abcdef"


def register(app: App, user_arn: str, token: str = "device", **members: Any) -> dict[str, Any]:
    return app.identity.register_app_instance_user_endpoint(
        **{
            "AppInstanceUserArn": user_arn,
            "Type": "GCM",
            "ResourceArn": PINPOINT,
            "EndpointAttributes": {"DeviceToken": token},
            **members,
        }
    )


def described(app: App, user_arn: str, endpoint_id: str) -> dict[str, Any]:
    return app.identity.describe_app_instance_user_endpoint(AppInstanceUserArn=user_arn, EndpointId=endpoint_id)[
        "AppInstanceUserEndpoint"
    ]


def listed(app: App, user_arn: str) -> list[dict[str, Any]]:
    return app.identity.list_app_instance_user_endpoints(AppInstanceUserArn=user_arn)["AppInstanceUserEndpoints"]


# Registering, describing and updating


@pytest.mark.parametrize("type", ["APNS", "APNS_SANDBOX", "GCM"])
def test_a_device_is_registered_described_updated_and_listed(app: App, type: str) -> None:
    ann = app.user("ann").arn
    attributes = {"DeviceToken": "token"} | ({} if type == "GCM" else {"VoipDeviceToken": "voip"})

    with during(app.server) as just_now:
        made = answered(201, register(app, ann, Type=type, EndpointAttributes=attributes, Name="phone"))
        endpoint_id = made["EndpointId"]
        found = app.identity.describe_app_instance_user_endpoint(AppInstanceUserArn=ann, EndpointId=endpoint_id)

        just_now(created := found["AppInstanceUserEndpoint"]["CreatedTimestamp"])
    assert made == {"AppInstanceUserArn": ann, "EndpointId": endpoint_id}
    summary = {
        "AppInstanceUserArn": ann,
        "EndpointId": endpoint_id,
        "Name": "phone",
        "Type": type,
        "AllowMessages": "ALL",
        "EndpointState": {"Status": "ACTIVE"},
    }
    assert answered(200, found)["AppInstanceUserEndpoint"] == {
        **summary,
        "ResourceArn": PINPOINT,
        "EndpointAttributes": attributes,
        "CreatedTimestamp": created,
        "LastUpdatedTimestamp": created,
    }
    one = {"AppInstanceUserArn": ann, "EndpointId": endpoint_id}
    assert answered(200, app.identity.update_app_instance_user_endpoint(**one, AllowMessages="NONE")) == one
    app.identity.update_app_instance_user_endpoint(**one, Name="")
    app.identity.update_app_instance_user_endpoint(**one)
    found = described(app, ann, endpoint_id)
    assert (found["Name"], found["AllowMessages"]) == ("", "NONE")
    assert found["LastUpdatedTimestamp"] >= found["CreatedTimestamp"] == created
    answer = answered(200, app.identity.list_app_instance_user_endpoints(AppInstanceUserArn=ann))
    assert answer == {"AppInstanceUserEndpoints": [{**summary, "Name": "", "AllowMessages": "NONE"}]}, "no tokens"


def test_the_same_device_again_has_the_id_that_it_has(app: App) -> None:
    ann, bob = (user.arn for user in app.users("ann", "bob"))

    first = register(app, ann, Name="phone", AllowMessages="NONE")
    again = register(app, ann, Name="other name")
    others = [register(app, ann, "another device"), register(app, ann, Type="APNS"), register(app, bob)]

    assert answered(201, again) == answered(201, first)
    assert len({each["EndpointId"] for each in (first, *others)}) == 4
    assert described(app, ann, first["EndpointId"])["Name"] == "phone"
    assert counted(app.server, ann, "endpoints") == rows(app.server, "endpoints", user_arn=ann) == 3


def test_a_repeated_token_gets_the_first_answer(app: App) -> None:
    ann, bob = (user.arn for user in app.users("ann", "bob"))
    first = register(app, ann, ClientRequestToken="token")

    assert answered(201, register(app, ann, ClientRequestToken="token")) == answered(201, first)
    with refused("Conflict"):
        register(app, ann, "another device", ClientRequestToken="token")
    assert register(app, bob, ClientRequestToken="token")["AppInstanceUserArn"] == bob, "a token of one user's own"
    assert len(listed(app, ann)) == 1


def test_a_user_has_at_most_ten_devices(app: App) -> None:
    ann, bob = (user.arn for user in app.users("ann", "bob"))
    made = [register(app, ann, f"device{number}")["EndpointId"] for number in range(10)]

    with refused("ResourceLimitExceeded"):
        register(app, ann, "one more")
    assert register(app, ann, "device3")["EndpointId"] == made[3]
    register(app, bob, "one more")
    for _ in range(2):
        app.identity.deregister_app_instance_user_endpoint(AppInstanceUserArn=ann, EndpointId=made[0])
    register(app, ann, "one more")
    with refused("ResourceLimitExceeded"):
        register(app, ann, "device0")

    assert counted(app.server, ann, "endpoints") == len(listed(app, ann)) == 10


def test_devices_are_for_live_users_and_not_for_bots(app: App) -> None:
    gone = app.user("gone").arn
    app.identity.delete_app_instance_user(AppInstanceUserArn=gone)

    for arn in (gone, f"{app.arn}/user/nobody", bot(app, "helper").arn, app.arn, "arn:aws:s3:::bucket"):
        one = {"AppInstanceUserArn": arn, "EndpointId": "x"}
        for call in (
            lambda arn=arn: register(app, arn),
            lambda one=one: app.identity.describe_app_instance_user_endpoint(**one),
            lambda one=one: app.identity.update_app_instance_user_endpoint(**one, Name="new"),
            lambda one=one: app.identity.deregister_app_instance_user_endpoint(**one),
            lambda arn=arn: listed(app, arn),
        ):
            with refused("Forbidden"):
                call()


def test_a_device_that_is_not_there_is_forbidden(app: App) -> None:
    ann, bob = (user.arn for user in app.users("ann", "bob"))
    of_bob = register(app, bob)["EndpointId"]

    for endpoint_id in ("x" * 64, of_bob):
        one = {"AppInstanceUserArn": ann, "EndpointId": endpoint_id}
        with refused("Forbidden"):
            app.identity.describe_app_instance_user_endpoint(**one)
        with refused("Forbidden"):
            app.identity.update_app_instance_user_endpoint(**one, Name="new")
        answered(204, app.identity.deregister_app_instance_user_endpoint(**one))
    assert len(listed(app, bob)) == 1


@pytest.mark.parametrize(
    "members",
    [
        {"Type": "ADM"},
        {"ResourceArn": "nonsense"},
        {"EndpointAttributes": {}},
        {"EndpointAttributes": {"VoipDeviceToken": "v"}},
        {"EndpointAttributes": {"DeviceToken": ""}},
        {"EndpointAttributes": {"DeviceToken": "d" * 1601}},
        {"EndpointAttributes": {"DeviceToken": "d", "VoipDeviceToken": ""}},
        {"Name": "n" * 1601},
        {"AllowMessages": "SOME"},
    ],
    ids=lambda members: str(members)[:50],
)
def test_what_breaks_a_shape_is_a_bad_request(app: App, members: dict[str, Any]) -> None:
    ann = app.user("ann").arn
    sends_anything = client("chime-sdk-identity", app.server.url, validates=False)
    whole = {"Type": "GCM", "ResourceArn": PINPOINT, "EndpointAttributes": {"DeviceToken": "d"}}

    with refused("BadRequest"):
        sends_anything.register_app_instance_user_endpoint(AppInstanceUserArn=ann, **{**whole, **members})

    assert listed(app, ann) == []


# Deregistering and listing


def test_a_device_is_deregistered_and_may_come_back_as_another(app: App) -> None:
    ann = app.user("ann").arn
    first = register(app, ann)["EndpointId"]

    answered(204, app.identity.deregister_app_instance_user_endpoint(AppInstanceUserArn=ann, EndpointId=first))

    assert listed(app, ann) == []
    with refused("Forbidden"):
        described(app, ann, first)
    assert register(app, ann)["EndpointId"] != first


def test_devices_go_with_their_user(app: App) -> None:
    ann, bob = (user.arn for user in app.users("ann", "bob"))
    for arn in (ann, bob):
        register(app, arn)

    app.identity.delete_app_instance_user(AppInstanceUserArn=ann)
    assert rows(app.server, "endpoints", user_arn=ann) == 0
    app.server.settle()
    app.user("ann")
    assert (listed(app, ann), counted(app.server, ann, "endpoints")) == ([], 0)

    app.identity.delete_app_instance(AppInstanceArn=app.arn)
    app.server.settle()
    assert rows(app.server, "endpoints", user_arn=bob) == 0


def test_devices_are_listed_to_the_end_while_they_come_and_go(app: App) -> None:
    ann, bob = (user.arn for user in app.users("ann", "bob"))
    made = [register(app, ann, f"device{number}")["EndpointId"] for number in range(5)]
    listing = app.identity.list_app_instance_user_endpoints

    first = listing(AppInstanceUserArn=ann, MaxResults=2)
    for each in (made[0], made[2]):
        app.identity.deregister_app_instance_user_endpoint(AppInstanceUserArn=ann, EndpointId=each)
    made.append(register(app, ann, "device5")["EndpointId"])
    rest = rest_of(listing, "AppInstanceUserEndpoints", first, AppInstanceUserArn=ann, MaxResults=1)

    found = [each["EndpointId"] for each in [*first["AppInstanceUserEndpoints"], *rest]]
    assert found == [made[0], made[1], made[3], made[4], made[5]]
    assert [len(page) for page in pages(listing, "AppInstanceUserEndpoints", AppInstanceUserArn=ann, MaxResults=3)] == [
        3,
        1,
    ]
    with refused("BadRequest"):
        listing(AppInstanceUserArn=bob, NextToken=first["NextToken"])
