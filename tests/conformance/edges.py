"""Values at the edges of the constraints of the service model: shortest, longest, one under, one over, patterns, enums.

`cases(service, operation)` walks the request's members, nested ones too; each case is one member of it and the values
that it must and must not take. What the model can't tell, and what is known to be stricter, stands in the tables here.
"""

from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass, field, replace
from typing import Any

from botocore.model import Shape

from tests.conformance import model
from tests.conformance.world import Members, World

Path = tuple[str | int, ...]
ABSENT = object()
KEY = "{key}"
"""In a path: the one key of a map."""

NAMES_SOMETHING = {
    "ChimeArn": "names a resource",
    "SensitiveChimeArn": "names a resource",
    "String1600": "names a user",
    "NextToken": "is made by the service",
    "LexBotAliasArn": "has one length",
    "FilterRule": "has a grammar",
    "SearchFieldValue": "names a user",
}
"""Shapes whose every value means something: only what is refused can be tried."""

MUST_AGREE = {
    ("ChannelFlowCallback", ("ChannelMessage", "MessageId")): "is the one that the callback is for",
    ("ChannelFlowCallback", ("ChannelMessage", "SubChannelId")): "is the one that the message is in",
}
"""Members whose value has to fit another one: only what is refused can be tried."""

MAY_NAME_NOTHING = {"MessageId", "SubChannelId", "CallbackIdType", "String64"}
"""Ids: a well-formed one that names nothing is refused for that, if at all, and not as a bad request."""

OPTIONAL_AFTER_ALL = {
    ("CreateChannelMembership", ("Type",)): "a guide example of AWS leaves it out; DEFAULT",
}
REQUIRED_AFTER_ALL = {
    ("SearchChannels", ("ChimeBearer",)),
    ("PutChannelExpirationSettings", ("ChimeBearer",)),
}
"""The model's text says mandatory, its list of required members doesn't."""

VARIANT = {("SendChannelMessage", ("Type",)): 1, ("SendChannelMessage", ("Persistence",)): 1}
"""Which of the known-good requests takes every value of a member, where it is not the first."""


@dataclass(frozen=True)
class Edge:
    """A value, and whether it is within the constraint."""

    why: str
    value: Any
    accepted: bool
    choice: bool = False
    """Whether AWS's documentation leaves the outcome open."""
    vague: bool = False
    """Accepted as a value, though it may name nothing."""


@dataclass(frozen=True)
class Case:
    """A member of an operation's request, nested or not."""

    service: str
    operation: str
    path: Path
    edges: list[Edge] = field(repr=False)

    @property
    def id(self) -> str:
        # An operation that is in both services appears twice.
        ending = "" if model.service_of(self.operation) == self.service else f"-{self.service}"
        return f"{self.operation}-{'.'.join(map(str, self.path))}{ending}"


def cases(service: str, operation: str) -> Iterator[Case]:
    """All members that have something to break, in the order of the model."""
    shape = model.operation(service, operation).input_shape
    if shape is not None:
        yield from _of_structure(service, operation, shape, ())


def _of_structure(service: str, operation: str, shape: Shape, path: Path) -> Iterator[Case]:
    for name, member in shape.members.items():
        here = (*path, name)
        location = member.serialization.get("location", "body")
        edges = [*_presence(operation, shape, name, here, location), *_values(member, location)]
        if (operation, here) in MUST_AGREE:
            edges = [edge for edge in edges if not edge.accepted]
        if "BadRequestException" not in model.errors(service, operation):
            edges = [replace(edge, choice=edge.choice or not edge.accepted) for edge in edges]
        yield Case(service, operation, here, edges)
        yield from _inside(service, operation, member, here)


def _inside(service: str, operation: str, shape: Shape, path: Path) -> Iterator[Case]:
    match shape.type_name:
        case "structure":
            yield from _of_structure(service, operation, shape, path)
        case "list":
            here = (*path, 0)
            if shape.member.type_name != "structure":
                yield Case(service, operation, here, list(_values(shape.member, "body")))
            yield from _inside(service, operation, shape.member, here)
        case "map":
            yield Case(service, operation, (*path, KEY), list(_values(shape.key, "key")))
            yield from _inside(service, operation, shape.value, (*path, 0))


def _presence(operation: str, shape: Shape, name: str, path: Path, location: str) -> Iterator[Edge]:
    required = name in shape.required_members
    if location == "uri" or shape.members[name].metadata.get("idempotencyToken"):
        return  # a path without its label is another path; a token that is left out is filled in by boto3
    if (operation, path) in OPTIONAL_AFTER_ALL:
        yield Edge("left out", ABSENT, accepted=True, choice=True)
    elif required or (operation, path) in REQUIRED_AFTER_ALL:
        yield Edge("left out", ABSENT, accepted=False, choice=name == "ChimeBearer")
    elif path[-1] not in NEEDED and path[-2:] != (0, "MemberArn"):
        yield Edge("left out", ABSENT, accepted=True)


NEEDED = ("SubChannelId", "FilterRule")
"""Optional members without which the request that holds them makes no sense: the sub-channel of an elastic channel has
to be named, FILTERED notifications want their rule, and so does a Target its member."""


def _values(shape: Shape, location: str) -> Iterator[Edge]:
    match shape.type_name:
        case "string":
            yield from _texts(shape, location)
        case "integer":
            yield from _numbers(shape)
            if location == "body":
                yield Edge("text and no number", "5", accepted=False, choice=True)
        case "list":
            yield from _lists(shape)
        case "boolean":
            yield Edge("text and no boolean", "true", accepted=False, choice=True)


def _numbers(shape: Shape) -> Iterator[Edge]:
    low, high = shape.metadata.get("min"), shape.metadata.get("max")
    if low is not None:
        yield Edge("least", low, accepted=True)
        yield Edge("one under", low - 1, accepted=False)
    if high is not None:
        yield Edge("most", high, accepted=True)
        yield Edge("one over", high + 1, accepted=False)


def _lists(shape: Shape) -> Iterator[Edge]:
    low, high = shape.metadata.get("min"), shape.metadata.get("max")
    if low:
        yield Edge("one item too few", Items(shape.name, low - 1), accepted=False)
        yield Edge("fewest items", Items(shape.name, low), accepted=True)
    if high is not None:
        if high != low:
            yield Edge("most items", Items(shape.name, high), accepted=True)
        yield Edge("one item too many", Items(shape.name, high + 1), accepted=False)


def _texts(shape: Shape, location: str) -> Iterator[Edge]:
    if enum := shape.metadata.get("enum"):
        for value in enum:
            yield Edge(f"the value {value}", value, accepted=True)
        yield Edge("no value of the enum", "SOMETHING_ELSE", accepted=False)
        yield Edge("a value in lower case", enum[0].lower(), accepted=False)
        return
    low, high = shape.metadata.get("min", 0), shape.metadata.get("max")
    valid, vague = shape.name not in NAMES_SOMETHING, shape.name in MAY_NAME_NOTHING
    in_path = location == "uri"
    if valid and not (low == 0 and in_path) and shape.name != "LambdaFunctionArn":  # the pattern wants more than 15
        yield Edge("shortest", text(shape, low), accepted=True, vague=vague)
    if valid and high is not None:
        yield Edge("longest", text(shape, high), accepted=True, vague=vague)
    if low > 0 and not (low == 1 and in_path):
        yield Edge("one too short", text(shape, low - 1), accepted=False)
    if high is not None:
        yield Edge("one too long", text(shape, high + 1), accepted=False)
    for value in BREAKS.get(shape.name, _breaks_pattern(shape)):
        if not (location == "header" and "\n" in value):
            yield Edge(f"not of the pattern: {value!r}", value, accepted=False)
    if shape.name in ASTRAL and high is not None:
        yield Edge("longest, of supplementary characters", "😀" * high, accepted=True, choice=True)
    if location == "body":
        yield Edge("a number and no text", 5, accepted=False, choice=True)


ASTRAL = ("NonEmptyResourceName", "ResourceName", "UserName")
"""Their lengths are counted in characters."""

_ARNS = ("nonsense", "arn:aws:chime:us-east-1:1", "arn:aws:chime:us-east-1:1:/x", "ARN:aws:chime:us-east-1:1:x")

BREAKS = {
    "ChimeArn": _ARNS,
    "SensitiveChimeArn": _ARNS,
    "LambdaFunctionArn": (
        "arn:aws:lambda:us-east-1:123456789012:layer:f",
        "arn:aws:lambda:us-east-1:1234:function:f",
        "arn:aws:lambda:us-east-1:123456789012:function:f:$NEWEST",
        "arn:aws:lambda:us-east-1:123456789012:function:a b",
    ),
    "LexBotAliasArn": ("arn:aws:lex:us-east-1:123456789012:bot-alias/ABC/DEF", "arn:aws:lex:us-east-1:1:bot/B"),
    "LexIntentName": ("a1", "_a", "a__b", "a b"),
    "UserId": ("-a", "a-", "a/b", "a b", "é"),
    "ChannelId": ("-a", "a-", "a/b", "a b", "é"),
    "UserName": (" ", "a\nb"),
    "NonEmptyResourceName": ("a\u0001", "a\u000b", "\ufffe"),
    "ResourceName": ("a\u0001", "a\u000b", "\ufffe"),
    "ClientRequestToken": ("a b", "aé", "a.b"),
    "MessageId": ("a b", "a.b"),
    "SubChannelId": ("a b", "a.b"),
}


def _breaks_pattern(shape: Shape) -> tuple[str, ...]:
    return ("a\nb",) if shape.metadata.get("pattern") == ".*" else ()


def text(shape: Shape, length: int) -> str:
    """A text of this length, of the shape's pattern as far as the length allows."""
    start = {
        "ChimeArn": "arn:aws:chime:us-east-1:123456789012:",
        "SensitiveChimeArn": "arn:aws:chime:us-east-1:123456789012:",
        "LambdaFunctionArn": "arn:aws:lambda:us-east-1:123456789012:function:",
        "LexBotAliasArn": "arn:aws:lex:us-east-1:123456789012:bot-alias/",
    }.get(shape.name, "")
    return (start + "a" * length)[:length]


@dataclass(frozen=True)
class Items:
    """So many items, made when the world is there."""

    shape: str
    number: int

    def of(self, world: World, example: list[Any]) -> list[Any]:
        """The items; `example` is the list of the known-good request."""
        numbers = range(self.number)
        match self.shape:
            case "ChannelMemberArns" | "ChannelModeratorArns":
                return [user.arn for user in world.crowd[: self.number]]
            case "MemberArns":
                return [f"{world.nobody}{number}" for number in numbers]  # each is refused by itself
            case "TagList":
                return [{"Key": f"key {number}", "Value": "v"} for number in numbers]
            case "TagKeyList":
                return [f"key {number}" for number in numbers]
            case "SearchFieldValues":
                return [f"{world.nobody}{number}" for number in numbers]
            case "ProcessorList":
                return [{**example[0], "ExecutionOrder": number + 1} for number in numbers]
            case "StreamingConfigurationList":
                kinds = ["Channel", "ChannelMessage", "Channel"]
                return [{**example[0], "DataType": kinds[number]} for number in numbers]
        return [deepcopy(example[0]) for _ in numbers]


def variant(case: Case, requests: list[Members]) -> int:
    """Which of the known-good requests holds the member, or could."""
    top = case.path[:1]
    if (case.operation, case.path) in VARIANT:
        return VARIANT[case.operation, case.path]
    return next(number for number, request in enumerate(requests) if top[0] in request and holds(request, case.path))


def holds(request: Any, path: Path) -> bool:
    """Whether the request has this member."""
    for step in path:
        if step == KEY:
            return bool(request)
        if isinstance(request, dict) and step == 0:  # the one value of a map
            request = next(iter(request.values()))
        elif isinstance(request, dict):
            if step not in request:
                return False
            request = request[step]
        else:
            request = request[step]
    return True


def changed(world: World, request: Members, path: Path, value: Any) -> Members:
    """The request with another value of the member, or without it."""
    result = deepcopy(request)
    inner: Any = result
    for step in path[:-1]:
        inner = next(iter(inner.values())) if isinstance(inner, dict) and step == 0 else inner[step]
    last = path[-1]
    if last == KEY:
        (only,) = inner.values()
        inner.clear()
        inner[value] = only
        return result
    if value is ABSENT:
        del inner[last]
    else:
        inner[last] = value.of(world, inner[last]) if isinstance(value, Items) else value
    return result
