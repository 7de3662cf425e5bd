"""Between HTTP and the contract's shapes: members gathered, members typed, answers and refusals written.

Messages name the member that is wrong and never what it held: names, contents and tokens are nobody's business.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from msgspec import inspect

from campana.api.base import Kind, Member, Route, Shape, Timestamp, encode_rest
from campana.errors import ApiError, BadRequest
from campana.wire.http import HttpResponse

Members = dict[str, Any]  # by the model's names; until `typed` has seen them, values are of any JSON type


def decode(
    route: Route, labels: Mapping[str, str], query: Sequence[tuple[str, str]], headers: Mapping[str, str], body: bytes
) -> Shape:
    """The typed request; raises `BadRequest`. What `gather` and `typed` do, in one go."""
    return typed(route, gather(route, labels, query, headers, body))


def gather(
    route: Route, labels: Mapping[str, str], query: Sequence[tuple[str, str]], headers: Mapping[str, str], body: bytes
) -> Members:
    """All members of a request from where they travel, not yet checked against their shapes.

    Unknown ones stay in until `typed`. Raises `BadRequest` for what is no JSON object, no number, no timestamp.
    """
    members = _object(body) if body and route.body else {}
    pairs = dict(query)
    if len(pairs) != len(query):
        raise BadRequest("A query parameter must not be given twice.")
    for member in route.labels:
        members[member.key] = labels[member.name]
    for member in route.query:
        if (text := pairs.get(member.name)) is not None:
            members[member.key] = text if member.kind is Kind.TEXT else _parsed(member, text)
        elif member.key in members:  # travels in the query only
            del members[member.key]
    for member in route.headers:
        if (text := headers.get(member.name)) is not None:
            if not text.isascii() or "\0" in text:
                raise BadRequest(f"The header {member.name} must consist of ASCII characters.")
            members[member.key] = text
        elif member.key in members:
            del members[member.key]
    return members


def typed(route: Route, members: Members) -> Shape:
    """The request's shape; raises `BadRequest`, naming the member that breaks a constraint."""
    try:
        return msgspec.convert(members, route.request)
    except msgspec.ValidationError as violation:
        raise BadRequest(_explained(str(violation), route.request)) from None


def respond(route: Route, response: Shape | None) -> HttpResponse:
    """The answer of an operation (spec/wire.md §4)."""
    if route.response is None:
        return HttpResponse(route.status)
    assert isinstance(response, route.response), f"{route.operation} answered {type(response).__name__}"
    return HttpResponse(route.status, _JSON, encode_rest(response))


def refuse(error: ApiError) -> HttpResponse:
    """The answer of an error (spec/wire.md §6): the header decides how clients name it, the body says it again."""
    headers = [*_JSON, (b"x-amzn-errortype", error.name.encode())]
    if (seconds := error.retry_after_s or (1 if error.status == 429 else None)) is not None:
        headers.append((b"retry-after", str(seconds).encode()))
    return HttpResponse(error.status, tuple(headers), encode_rest({"Code": error.code, "Message": error.message}))


_JSON = ((b"content-type", b"application/json"),)


def _object(body: bytes) -> Members:
    """The JSON object in a body, without its nulls."""
    try:
        value = _DECODER.decode(body)
    except (msgspec.MsgspecError, ValueError):  # also what is not UTF-8, lone surrogates, numbers without end
        raise BadRequest("The request body is not valid JSON.") from None
    except RecursionError:
        raise BadRequest("The request body is nested too deeply.") from None
    if not isinstance(value, dict):
        raise BadRequest("The request body must be a JSON object.")
    if b"\\u0000" in body and _has_nul(value):
        raise BadRequest("The request body must not contain the character U+0000.")
    if None in value.values():
        return {name: inner for name, inner in value.items() if inner is not None}
    return value


_DECODER = msgspec.json.Decoder()


def _has_nul(value: object) -> bool:
    """Whether a text in a decoded document holds U+0000, which PostgreSQL cannot store."""
    left = [value]  # not recursive: the document may be nested as deeply as the stack allows
    while left:
        match left.pop():
            case str(text):
                if "\0" in text:
                    return True
            case dict(members):
                left += members
                left += members.values()
            case list(items):
                left += items
    return False


def _parsed(member: Member, text: str) -> int | Timestamp:
    if member.kind is Kind.TIMESTAMP:
        try:
            return Timestamp.parse(text)
        except (ValueError, OverflowError):
            raise BadRequest(_violation(member.key, "Member must be a timestamp in ISO-8601 format")) from None
    if not _INTEGER.fullmatch(text):
        raise BadRequest(_violation(member.key, "Member must be an integer"))
    return int(text)


_INTEGER = re.compile(r"-?[0-9]{1,18}")


# Why a shape was refused. msgspec says it in Python's words, with a path such as `$.Tags[0].Key`.


def _explained(complaint: str, shape: type[Shape]) -> str:
    reason, _, place = complaint.partition(" - at ")
    path = place.removeprefix("`key` in ").strip("`").removeprefix("$").removeprefix(".")
    if missing := _MISSING.match(reason):
        return _violation(f"{path}.{missing[1]}".removeprefix("."), "Member must not be null")
    if reason.startswith("Invalid enum value"):
        return _violation(path, f"Member must satisfy enum value set: [{', '.join(_enum_values(shape, path))}]")
    for pattern, constraint in _CONSTRAINTS:
        if found := pattern.search(reason):
            return _violation(path, constraint.format(*found.groups()))
    return _violation(path, "Member is of the wrong type")


def _violation(path: str, constraint: str) -> str:
    """The sentence of AWS's services; they write members with a small first letter."""
    member = ".".join(name[:1].lower() + name[1:] for name in path.split("."))
    return f"1 validation error detected: Value at '{member}' failed to satisfy constraint: {constraint}"


_MISSING = re.compile(r"Object missing required field `([^`]*)`")
_CONSTRAINTS = [
    (re.compile("got `null`"), "Member must not be null"),
    (re.compile(r"of length >= (\d+)"), "Member must have length greater than or equal to {}"),
    (re.compile(r"of length <= (\d+)"), "Member must have length less than or equal to {}"),
    (re.compile(r">= (-?\d+)"), "Member must have value greater than or equal to {}"),
    (re.compile(r"<= (-?\d+)"), "Member must have value less than or equal to {}"),
    (re.compile(r"matching regex"), "Member must satisfy its regular expression pattern"),
    (re.compile(r"Expected `str"), "Member must be a string"),
    (re.compile(r"Expected `int"), "Member must be an integer"),
    (re.compile(r"Expected `bool"), "Member must be a boolean"),
    (re.compile(r"Expected `array"), "Member must be a list"),
    (re.compile(r"Expected `object"), "Member must be a structure"),
]


def _enum_values(shape: type[Shape], path: str) -> list[str]:
    """What the enum at a path may be: `Type`, `Fields[0].Key`, `Map[...].Kind`."""
    found: inspect.Type = inspect.type_info(shape)
    for step in re.findall(r"[^.\[\]]+|\[[^]]*\]", path):
        match found := _present(found):
            case inspect.StructType():
                found = next(field.type for field in found.fields if field.encode_name == step)
            case inspect.ListType():
                found = found.item_type
            case inspect.DictType():
                found = found.value_type
    match _present(found):
        case inspect.EnumType(cls=values):
            return [str(value.value) for value in values]
        case other:
            raise AssertionError(f"{path} is no enum but {other}")


def _present(found: inspect.Type) -> inspect.Type:
    """The type without its null and its metadata."""
    while True:
        match found:
            case inspect.UnionType(types=types):
                found = next(one for one in types if not isinstance(one, inspect.NoneType))
            case inspect.Metadata(type=inner):
                found = inner
            case _:
                return found
