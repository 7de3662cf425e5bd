"""What botocore knows of the contract, and values for every shape of it, made from the model alone."""

from datetime import UTC, datetime, timedelta
from typing import Any

import botocore.session
from botocore.awsrequest import create_request_object, prepare_request_dict
from botocore.model import OperationModel, ServiceModel, Shape
from botocore.parsers import create_parser
from botocore.serialize import create_serializer

from campana.api.base import Timestamp
from campana.wire.http import HttpRequest, HttpResponse

_SESSION = botocore.session.Session()
SERVICES: dict[str, ServiceModel] = {
    "messaging": _SESSION.get_service_model("chime-sdk-messaging"),
    "identity": _SESSION.get_service_model("chime-sdk-identity"),
}
OPERATIONS = [(service, name) for service, model in SERVICES.items() for name in model.operation_names]
SIZES = ("minimal", "shortest", "usual", "longest")

# A request lacks these in no real client, but the server forgives it, or answers it later.
FORGIVEN = {"ClientRequestToken", "ChimeBearer"}


def operation(service: str, name: str) -> OperationModel:
    return SERVICES[service].operation_model(name)


def sent(service: str, name: str, params: dict[str, Any], *, checked: bool = True) -> HttpRequest:
    """The request as botocore puts it on the wire, if it must, without its own checks."""
    model = operation(service, name)
    request = create_serializer("rest-json", include_validation=checked).serialize_to_request(params, model)
    prepare_request_dict(request, endpoint_url="http://127.0.0.1", context={})
    prepared = create_request_object(request).prepare()
    target = prepared.url.removeprefix("http://127.0.0.1")
    path, _, query = target.partition("?")
    body = prepared.body or b""
    headers = {
        key.lower(): value if isinstance(value, str) else value.decode() for key, value in prepared.headers.items()
    }
    return HttpRequest(prepared.method, path, query, headers, body if isinstance(body, bytes) else body.encode())


def understood(service: str, name: str, response: HttpResponse) -> dict[str, Any]:
    """What botocore's client hands to its user."""
    model = operation(service, name)
    raw = {
        "status_code": response.status,
        "headers": {key.decode(): value.decode() for key, value in response.headers},
        "body": response.body,
    }
    parsed: dict[str, Any] = create_parser("rest-json").parse(raw, model.output_shape)
    return parsed


def example(shape: Shape, size: str) -> Any:
    """A value of a shape: what is required with the `shortest`, or everything in the size named.

    Every size is one that the model calls valid.
    """
    match shape.type_name:
        case "structure":
            wanted = shape.required_members if size == "minimal" else shape.members
            wanted = [*wanted, *(["Redacted"] if "Redacted" in shape.members and size == "minimal" else [])]
            values = {name: example(shape.members[name], size) for name in wanted}
            if "ChimeBearer" in values:  # a header: ASCII
                values["ChimeBearer"] = values["ChimeBearer"].replace("é", "e").replace("😀", "o")
            return values
        case "list":
            low, high = shape.metadata.get("min", 0), shape.metadata.get("max", 12)
            count = {"usual": min(max(2, low), high), "longest": high}.get(size, low)
            return [example(shape.member, size) for _ in range(count)]
        case "map":
            values = {f"key {n} ☃": example(shape.value, size) for n in range(3)}
            return values if size in ("usual", "longest") else {}
        case "boolean":
            return size == "usual"
        case "integer":
            low, high = shape.metadata.get("min", 0), shape.metadata.get("max", 2**31 - 1)
            return {"usual": (low + min(high, 1000)) // 2, "longest": high}.get(size, low)
        case "timestamp":
            return MOMENTS[size]
        case "string":
            return text(shape, size)
        case other:
            raise NotImplementedError(other)


MOMENTS = {
    "minimal": datetime(1970, 1, 1, tzinfo=UTC),
    "shortest": datetime(2024, 5, 6, 7, 8, 9, tzinfo=UTC),
    "usual": datetime(2026, 3, 4, 5, 6, 7, 89_000, tzinfo=UTC),
    "longest": datetime(2099, 12, 31, 23, 59, 59, 999_000, tzinfo=UTC),
}


def text(shape: Shape, size: str) -> str:
    enum: list[str] = shape.metadata.get("enum", [])
    if enum:
        return enum[-1] if size == "longest" else enum[0]
    low, high = shape.metadata.get("min", 0), shape.metadata.get("max", 5000)
    low = 1 if shape.name in ("String64", "String1600") else low  # an id in a path; an empty one would be another path
    characters = {"usual": min(max(low, 24), high), "longest": high}.get(size, low)
    match shape.name:
        case "ChimeArn" | "SensitiveChimeArn":
            shortest = "arn:a::::b"
            arn = "arn:aws:chime:us-east-1:123456789012:app-instance/6f9d/user/room:1@x.y z%+é"
            return {
                "usual": arn,
                "longest": (arn + "é😀" * 600)[: len("arn:aws:chime:us-east-1:123456789012:") + 1024],
            }.get(size, shortest)
        case "LambdaFunctionArn":
            return "arn:aws:lambda:us-east-1:123456789012:function:deny_all:$LATEST"
        case "LexBotAliasArn":
            return "arn:aws:lex:us-east-1:123456789012:bot-alias/ABCDEFGHI0/ABCDEFGHI1"
        case (
            "ClientRequestToken"
            | "MessageId"
            | "SubChannelId"
            | "CallbackIdType"
            | "UserId"
            | "ChannelId"
            | "LexIntentName"
        ):
            return "a" * characters
        case "Metadata" | "NextToken" | "PushNotificationTitle" | "UserName":  # no line breaks
            return ('é"\\/+%20& 😀\t' * 1000)[:characters]
        case _ if shape.metadata.get("pattern") == ".*":
            return ("é?#/%2F 😀" * 1000)[:characters]
        case _:
            return ('é"\\u0000\n\r\t+&=😀' * 1000)[:characters]


def plain(value: Any) -> Any:
    """One of our values as botocore has it: dictionaries by the names of the wire, without what is absent."""
    if isinstance(value, Timestamp):
        return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=value.ms)
    if hasattr(value, "__struct_fields__"):
        pairs = zip(value.__struct_encode_fields__, value.__struct_fields__, strict=True)
        members = {name: plain(getattr(value, field)) for name, field in pairs}
        return {name: member for name, member in members.items() if member is not None}
    if isinstance(value, list):
        return [plain(item) for item in value]
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    return value


def milliseconds(moment: datetime) -> int:
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)
