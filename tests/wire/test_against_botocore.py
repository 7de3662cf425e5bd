"""Every operation, both ways: botocore serialises, we decode; we encode, botocore parses."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from campana import errors
from campana.api import identity, messaging
from campana.api.base import Route, Shape, Timestamp
from campana.api.routes import BY_OPERATION, ROUTES
from campana.wire import codec, router

from .model import FORGIVEN, OPERATIONS, SIZES, example, milliseconds, operation, plain, sent, understood


def received(service: str, name: str, params: dict[str, Any], *, checked: bool = True) -> tuple[Route, Shape]:
    request = sent(service, name, params, checked=checked)
    route, labels, query = router.match(request.method, request.raw_path, request.raw_query)
    return route, codec.decode(route, labels, query, request.headers, request.body)


def with_defaults(name: str, params: dict[str, Any]) -> dict[str, Any]:
    """What the server reads into a request where the model leaves a gap."""
    defaults = {
        "CreateChannelMembership": {"Type": "DEFAULT"},
        "BatchCreateChannelMembership": {"Type": "DEFAULT"},
        "ChannelFlowCallback": {"DeleteResource": False},
    }
    return defaults.get(name, {}) | params


def test_there_are_81_operations_behind_78_routes():
    assert len(OPERATIONS) == 81
    assert len(ROUTES) == len(BY_OPERATION) == 78
    assert {name for _, name in OPERATIONS} == set(BY_OPERATION)
    count = {
        service: sum(route.service in (service, "both") for route in ROUTES) for service in ("messaging", "identity")
    }
    assert count == {"messaging": 51, "identity": 30}


@pytest.mark.parametrize(("service", "name"), OPERATIONS)
def test_a_route_says_what_the_model_says(service: str, name: str):
    route, model = BY_OPERATION[name], operation(service, name)

    assert (route.method, route.status) == (model.http["method"], model.http.get("responseCode", 200))
    assert set(route.errors) == {error.name for error in model.error_shapes}
    assert route.request.__name__ == model.input_shape.name
    assert (route.response and route.response.__name__) == (model.output_shape and model.output_shape.name)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(("service", "name"), OPERATIONS)
def test_what_botocore_sends_is_what_an_operation_gets(service: str, name: str, size: str):
    params = example(operation(service, name).input_shape, size)

    route, request = received(service, name, params)

    assert route.operation == name
    assert type(request) is route.request
    assert plain(request) == with_defaults(name, params)


@pytest.mark.parametrize(("service", "name"), OPERATIONS)
def test_each_required_member_is_missed(service: str, name: str):
    shape = operation(service, name).input_shape
    in_path = {label.key for label in BY_OPERATION[name].labels}
    has_default = set(with_defaults(name, {}))
    for member in set(shape.required_members) - in_path - FORGIVEN - has_default:
        params = example(shape, "usual")
        del params[member]
        with pytest.raises(errors.BadRequest, match=f"(?i)'{member}'.*must not be null"):
            received(service, name, params, checked=False)


@pytest.mark.parametrize("member", sorted(FORGIVEN))
@pytest.mark.parametrize(("service", "name"), OPERATIONS)
def test_what_is_forgiven_may_be_missing(service: str, name: str, member: str):
    params = example(operation(service, name).input_shape, "usual")
    params.pop(member, None)

    _, request = received(service, name, params, checked=False)

    assert plain(request) == params


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(("service", "name"), OPERATIONS)
def test_what_an_operation_answers_is_what_botocore_gets(service: str, name: str, size: str):
    route, shape = BY_OPERATION[name], operation(service, name).output_shape
    if shape is None:
        answer = codec.respond(route, None)
        assert (answer.headers, answer.body) == ((), b"")
        assert understood(service, name, answer)["ResponseMetadata"]["HTTPStatusCode"] == route.status
        return
    assert route.response is not None
    expected = example(shape, size)

    response = msgspec.convert(timestamped(expected), route.response)
    parsed = understood(service, name, codec.respond(route, response))

    assert parsed.pop("ResponseMetadata")["HTTPStatusCode"] == route.status
    assert parsed == expected
    assert plain(response) == expected


def timestamped(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: timestamped(item) for key, item in value.items()}
    if isinstance(value, list):
        return [timestamped(item) for item in value]
    return Timestamp(milliseconds(value)) if hasattr(value, "tzinfo") else value


MODELLED = [
    errors.BadRequest("no"),
    errors.ResourceLimitExceeded("no"),
    errors.Unauthorized("no"),
    errors.Forbidden(),
    errors.NotFound("no"),
    errors.Conflict("no"),
    errors.Throttled("no"),
    errors.ServiceFailure("no"),
    errors.ServiceUnavailable("no"),
]


@pytest.mark.parametrize(("service", "name"), OPERATIONS)
def test_every_modelled_error_is_recognised(service: str, name: str):
    known = {error.name: error for error in MODELLED}
    for shape in operation(service, name).error_shapes:
        error = known[shape.name]
        answer = codec.refuse(error)
        parsed = understood(service, name, answer)
        assert parsed["Error"] == {"Code": shape.name, "Message": error.message}
        assert answer.status == shape.metadata["error"]["httpStatusCode"]


@pytest.mark.parametrize(
    "error", [errors.AccessDenied("no"), errors.InvalidSignature("no"), errors.UnknownOperation("no")]
)
def test_errors_outside_the_model_keep_their_name(error: errors.ApiError):
    parsed = understood("messaging", "DescribeChannel", codec.refuse(error))

    assert parsed["Error"] == {"Code": error.name, "Message": "no"}


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1))
def test_any_content_arrives_as_it_was_sent(content: str):
    params = example(operation("messaging", "SendChannelMessage").input_shape, "minimal") | {"Content": content}

    _, request = received("messaging", "SendChannelMessage", params)

    assert isinstance(request, messaging.SendChannelMessageRequest)
    assert request.content == content


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\n\r\x85\u2028\u2029"), max_size=2048))
def test_any_page_token_arrives_as_it_was_sent(token: str):
    _, request = received("identity", "ListAppInstances", {"NextToken": token, "MaxResults": 50})

    assert isinstance(request, identity.ListAppInstancesRequest)
    assert (request.next_token, request.max_results) == (token, 50)
