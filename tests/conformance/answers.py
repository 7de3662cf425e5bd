"""Every answer is looked at on the wire: status, headers, and whether the body is what the model says.

What the SDKs would forgive is a failure here: members that the model doesn't have, nulls, an ISO timestamp, a value
outside its enum, an exception that the operation doesn't list.
"""

import json
import re
from typing import Any

from botocore.model import OperationModel, Shape

OUTSIDE_THE_MODEL = {
    "AccessDeniedException",
    "BadRequestException",  # GetMessagingSessionEndpoint doesn't list it
    "ExpiredTokenException",
    "InvalidSignatureException",
    "MissingAuthenticationTokenException",
    "UnrecognizedClientException",
}
"""What the front ends of AWS answer for every service."""


ISO = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
"""Exactly three digits: clients on phones parse no other form."""


class Wrong(AssertionError):
    """An answer that is not of the contract."""


def check(operation_model: OperationModel, response_dict: dict[str, Any], **_: Any) -> None:
    """A handler for botocore's event `before-parse`; raises Wrong."""
    status, headers = response_dict["status_code"], response_dict["headers"]
    where = f"{operation_model.name} answered {status}"
    if "x-amzn-requestid" not in headers:
        raise Wrong(f"{where} without x-amzn-requestid")
    if status >= 300:
        _check_refusal(where, operation_model, status, headers, response_dict["body"])
    else:
        _check_success(where, operation_model, status, headers, response_dict["body"])


def _check_success(where: str, model: OperationModel, status: int, headers: Any, body: bytes) -> None:
    expected = model.http.get("responseCode", 200)
    if status != expected:
        raise Wrong(f"{where} and not {expected}")
    if model.output_shape is None:
        if body:
            raise Wrong(f"{where} with a body, although the operation has no output")
        return
    if not headers.get("content-type", "").startswith("application/json"):
        raise Wrong(f"{where} with content-type {headers.get('content-type')}")
    for problem in problems(json.loads(body), model.output_shape, ""):
        raise Wrong(f"{where}: {problem}")


def _check_refusal(where: str, model: OperationModel, status: int, headers: Any, body: bytes) -> None:
    name = headers.get("x-amzn-errortype", "").partition(":")[0]
    said = json.loads(body)
    if name in OUTSIDE_THE_MODEL:
        return
    shapes = {shape.name: shape for shape in model.error_shapes}
    if name not in shapes:
        raise Wrong(f"{where} {name!r}, which it doesn't list: {said}")
    if status != shapes[name].metadata["error"]["httpStatusCode"]:
        raise Wrong(f"{where} for {name}")
    if set(said) != {"Code", "Message"} or not said["Message"]:
        raise Wrong(f"{where} with the body {said}")
    for problem in problems(said, shapes[name], ""):
        raise Wrong(f"{where}: {problem}")


def problems(value: Any, shape: Shape, path: str, *, iso: bool = False) -> list[str]:
    """What is wrong with a value of JSON as one of this shape; `iso`: timestamps are text, as in events."""
    here = path or "the body"
    if value is None:
        return [f"{here} is null"]
    match shape.type_name:
        case "structure":
            if not isinstance(value, dict):
                return [f"{here} is no object"]
            unknown = [f"{path}.{name} is not in the model" for name in value if name not in shape.members]
            missing = [f"{path}.{name} is missing" for name in shape.required_members if name not in value]
            inner = [
                problem
                for name, member in shape.members.items()
                if name in value
                for problem in problems(value[name], member, f"{path}.{name}", iso=iso)
            ]
            return unknown + missing + inner
        case "list":
            if not isinstance(value, list):
                return [f"{here} is no list"]
            inner = [
                problem
                for number, item in enumerate(value)
                for problem in problems(item, shape.member, f"{path}[{number}]", iso=iso)
            ]
            # An empty list is right where the model's fewest is one: it means that there are none.
            return (_size(len(value), shape, here) if value else []) + inner
        case "map":
            return [
                problem
                for key, item in value.items()
                for problem in problems(item, shape.value, f"{path}[{key!r}]", iso=iso)
            ]
        case "boolean":
            return [] if isinstance(value, bool) else [f"{here} is no boolean"]
        case "integer":
            if isinstance(value, bool) or not isinstance(value, int):
                return [f"{here} is no integer"]
            return _size(value, shape, here)
        case "timestamp" if iso:
            if isinstance(value, str) and ISO.fullmatch(value):
                return []
            return [f"{here} is {value!r} and not like 2026-03-04T05:06:07.089Z"]
        case "timestamp":
            if isinstance(value, bool) or not isinstance(value, int | float):
                return [f"{here} is {value!r} and not seconds since the epoch"]
            return [] if round(value, 3) == value and 1e9 < value < 1e10 else [f"{here} is not in seconds: {value}"]
        case "string":
            if not isinstance(value, str):
                return [f"{here} is no string"]
            if (enum := shape.metadata.get("enum")) and value not in enum:
                return [f"{here} is {value!r}, not one of {enum}"]
            return _size(len(value), shape, here) + _pattern(value, shape, here)
    return [f"{here} is of a type that the suite doesn't know: {shape.type_name}"]


def _size(number: int, shape: Shape, here: str) -> list[str]:
    low, high = shape.metadata.get("min"), shape.metadata.get("max")
    if (low is not None and number < low) or (high is not None and number > high):
        return [f"{here}: {number} is not within {low}–{high}"]
    return []


def _pattern(value: str, shape: Shape, here: str) -> list[str]:
    pattern = shape.metadata.get("pattern")
    if pattern is None or r"\u10000" in pattern:  # not as Python writes it
        return []
    if shape.name == "LambdaFunctionArn" and value.startswith("http"):  # a processor of this suite
        return []
    return [] if re.fullmatch(pattern, value) else [f"{here} is not of the form {pattern}"]
