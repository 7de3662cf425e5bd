from collections.abc import Callable
from typing import Any

import pytest

from tests.harness import LAMBDA, App, client, refused
from tests.operations.helpers import LEX, answered, rows

KINDS = ["app instance", "user", "bot", "channel", "channel flow"]
Tags = dict[str, str]


def listed(tags: Tags) -> list[dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in tags.items()]


def made(app: App, kind: str, tags: Tags | None = None, **more: Any) -> str:
    """The ARN of a new resource."""
    members = {**({"Tags": listed(tags)} if tags is not None else {}), **more}
    match kind:
        case "app instance":
            return app.identity.create_app_instance(Name="new", **members)["AppInstanceArn"]
        case "user":
            members = {"AppInstanceUserId": "new", "Name": "New", **members}
            return app.identity.create_app_instance_user(AppInstanceArn=app.arn, **members)["AppInstanceUserArn"]
        case "bot":
            members = {"Configuration": {"Lex": LEX}, **members}
            return app.identity.create_app_instance_bot(AppInstanceArn=app.arn, **members)["AppInstanceBotArn"]
        case "channel":
            maker = app.user(f"maker{rows(app.server, 'identities', app_instance_arn=app.arn)}")
            return maker.makes_channel(**members)
        case _:
            processor = {
                "Name": "p", "ExecutionOrder": 1, "FallbackAction": "ABORT",
                "Configuration": {"Lambda": {"ResourceArn": f"{LAMBDA}f", "InvocationType": "ASYNC"}},
            }  # fmt: skip
            members = {"Name": "new", "Processors": [processor], **members}
            return app.messaging.create_channel_flow(AppInstanceArn=app.arn, **members)["ChannelFlowArn"]


def gone(app: App, kind: str, arn: str) -> None:
    match kind:
        case "app instance":
            app.identity.delete_app_instance(AppInstanceArn=arn)
        case "user":
            app.identity.delete_app_instance_user(AppInstanceUserArn=arn)
        case "bot":
            app.identity.delete_app_instance_bot(AppInstanceBotArn=arn)
        case "channel":
            app.admin("remover").delete_channel(ChannelArn=arn)
        case _:
            app.messaging.delete_channel_flow(ChannelFlowArn=arn)


def tags_of(service: Any, arn: str) -> Tags:
    found = service.list_tags_for_resource(ResourceARN=arn)["Tags"]
    return {each["Key"]: each["Value"] for each in found}


@pytest.fixture(params=["messaging", "identity"])
def service(app: App, request: pytest.FixtureRequest) -> Any:
    """Both services tag every resource."""
    return getattr(app, request.param)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_resource_is_tagged_by_either_service(app: App, service: Any, kind: str) -> None:
    arn = made(app, kind)

    assert answered(200, service.list_tags_for_resource(ResourceARN=arn)) == {"Tags": []}
    answered(204, service.tag_resource(ResourceARN=arn, Tags=listed({"team": "red", "a": "1"})))
    answered(204, service.tag_resource(ResourceARN=arn, Tags=listed({"team": "blue", "b": "2"})))
    assert tags_of(app.identity, arn) == tags_of(app.messaging, arn) == {"a": "1", "b": "2", "team": "blue"}
    answered(204, service.untag_resource(ResourceARN=arn, TagKeys=["a", "unknown", "team", "TEAM"]))
    assert tags_of(service, arn) == {"b": "2"}
    answered(204, service.untag_resource(ResourceARN=arn, TagKeys=["b", "b"]))
    assert tags_of(service, arn) == {}


@pytest.mark.parametrize("kind", KINDS)
def test_tags_come_and_go_with_the_resource(app: App, kind: str) -> None:
    arn = made(app, kind, {"team": "red"})
    assert tags_of(app.identity, arn) == {"team": "red"}

    gone(app, kind, arn)

    for call in _calls(app.messaging, arn):
        with refused("Forbidden"):
            call()
    app.server.settle()
    assert rows(app.server, "tags", resource_arn=arn) == 0


def test_tags_of_all_that_is_in_an_app_instance_go_with_it(app: App) -> None:
    arns = [made(app, kind, {"team": "red"}) for kind in KINDS[1:]]
    assert [rows(app.server, "tags", resource_arn=arn) for arn in arns] == [1, 1, 1, 1]

    gone(app, "app instance", app.arn)
    app.server.settle()

    assert [rows(app.server, "tags", resource_arn=arn) for arn in arns] == [0, 0, 0, 0]


def _calls(service: Any, arn: str) -> list[Callable[[], Any]]:
    return [
        lambda: service.tag_resource(ResourceARN=arn, Tags=listed({"a": "1"})),
        lambda: service.untag_resource(ResourceARN=arn, TagKeys=["a"]),
        lambda: service.list_tags_for_resource(ResourceARN=arn),
    ]


def test_a_resource_that_is_not_there_is_forbidden(app: App, service: Any) -> None:
    strange = "arn:aws:chime:us-east-1:123456789012:app-instance/00000000-0000-4000-8000-000000000000"
    for arn in (*(f"{app.arn}/{kind}/x" for kind in ("user", "bot", "channel", "channel-flow")), strange):
        for call in _calls(service, arn):
            with refused("Forbidden"):
                call()
    for arn in ("nonsense", "arn:aws:s3:::bucket", f"{app.arn}/meeting/x"):
        for call in _calls(service, arn):
            with refused("BadRequest"):
                call()


def test_a_resource_has_at_most_50_tags(app: App, service: Any) -> None:
    arn = made(app, "user", {f"k{n}": "v" for n in range(48)})

    with refused("ResourceLimitExceeded"):
        service.tag_resource(ResourceARN=arn, Tags=listed({"x": "1", "k0": "new", "y": "2", "z": "3"}))
    assert tags_of(service, arn) == {f"k{n}": "v" for n in range(48)}, "none of it was done"
    service.tag_resource(ResourceARN=arn, Tags=listed({"x": "1", "k0": "new", "y": "2"}))
    service.tag_resource(ResourceARN=arn, Tags=listed({f"k{n}": "w" for n in range(48)}))
    with refused("ResourceLimitExceeded"):
        service.tag_resource(ResourceARN=arn, Tags=listed({"z": "3"}))
    service.untag_resource(ResourceARN=arn, TagKeys=["k1"])
    service.tag_resource(ResourceARN=arn, Tags=listed({"z": "3"}))

    assert len(tags_of(service, arn)) == 50


@pytest.mark.parametrize("key", ["aws:x", "AWS:x", "aws:", "Aws:chime:x"])
def test_tags_of_aws_are_refused(app: App, service: Any, key: str) -> None:
    arn = made(app, "user")

    with refused("BadRequest"):
        service.tag_resource(ResourceARN=arn, Tags=listed({"a": "1", key: "2"}))

    assert tags_of(service, arn) == {}


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_is_made_with_a_tag_of_aws(app: App, kind: str) -> None:
    own = app.arn.rpartition("/")[2]

    def all_there_is() -> list[int]:
        of_app = [rows(app.server, table, app_instance_arn=app.arn) for table in ("channels", "channel_flows")]
        instances = rows(app.server, "app_instances", account="123456789012")
        return [*of_app, rows(app.server, "identities", app_instance_arn=app.arn, name="New"), instances]

    before = all_there_is()
    with refused("BadRequest"):
        made(app, kind, {"a": own, "aws:x": own})

    assert all_there_is() == before
    assert rows(app.server, "tags", value=own) == 0


@pytest.mark.parametrize(
    ("fits", "tags"),
    [
        (True, {"k": "v"}),
        (True, {"k" * 128: "v" * 256}),
        (True, {"é" * 128: "é" * 256}),
        (True, {"awsome": "v", " a b:c ": " "}),
        (False, {"k" * 129: "v"}),
        (False, {"k": "v" * 257}),
        (False, {"": "v"}),
        (False, {"k": ""}),
        (False, {}),
        (False, {f"k{n}": "v" for n in range(51)}),
    ],
    ids=lambda value: str(value)[:20],
)
def test_the_shapes_of_tags(app: App, fits: bool, tags: Tags) -> None:
    arn = made(app, "user")
    sends_anything = client("chime-sdk-identity", app.server.url, validates=False)

    if fits:
        sends_anything.tag_resource(ResourceARN=arn, Tags=listed(tags))
        assert tags_of(app.identity, arn) == tags
        sends_anything.untag_resource(ResourceARN=arn, TagKeys=list(tags))
    else:
        with refused("BadRequest"):
            sends_anything.tag_resource(ResourceARN=arn, Tags=listed(tags))
        if list(tags) != ["k"]:
            with refused("BadRequest"):
                sends_anything.untag_resource(ResourceARN=arn, TagKeys=list(tags))
    assert tags_of(app.identity, arn) == {}
