"""What AWS's published service models say of the operations, read from botocore's copy."""

from collections.abc import Iterator
from functools import cache

import botocore.session
from botocore.model import OperationModel, ServiceModel, Shape

from tests.conformance.target import SERVICES

_session = botocore.session.Session()
MODELS: dict[str, ServiceModel] = {service: _session.get_service_model(service) for service in SERVICES}


def operations() -> Iterator[tuple[str, str]]:
    """Service and name of all of them. TagResource, UntagResource and ListTagsForResource are in both services."""
    for service, model in MODELS.items():
        for name in model.operation_names:
            yield service, name


@cache
def operation(service: str, name: str) -> OperationModel:
    return MODELS[service].operation_model(name)


@cache
def service_of(name: str) -> str:
    """The service of an operation; messaging for those that are in both."""
    return next(service for service, each in operations() if each == name)


def members(service: str, name: str) -> dict[str, Shape]:
    """The request's members."""
    shape = operation(service, name).input_shape
    return {} if shape is None else dict(shape.members)


def errors(service: str, name: str) -> list[str]:
    """The exceptions of an operation, by the names of their shapes."""
    return [shape.name for shape in operation(service, name).error_shapes]


def having(member: str) -> list[tuple[str, str]]:
    """The operations whose request has this member."""
    return [(service, name) for service, name in operations() if member in members(service, name)]
