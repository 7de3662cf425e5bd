"""The errors that clients get: the nine of the API's contract, and the few that the front adds.

Raise them with a message for the client, in a full sentence; they are caught in `server/dispatch.py` only.
Status, exception name and code are those of spec/api.md §1.3 and spec/wire.md §6.
"""

from typing import ClassVar


class ApiError(Exception):
    """An answer that is a refusal. `name` goes into the header `x-amzn-errortype`, `code` into the body."""

    status: ClassVar[int]
    name: ClassVar[str]
    code: ClassVar[str]

    def __init__(self, message: str, *, retry_after_s: int | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.retry_after_s = retry_after_s


class BadRequest(ApiError):
    status, name, code = 400, "BadRequestException", "BadRequest"


class ResourceLimitExceeded(ApiError):
    status, name, code = 400, "ResourceLimitExceededException", "ResourceLimitExceeded"


class Unauthorized(ApiError):
    status, name, code = 401, "UnauthorizedClientException", "Unauthorized"


class Forbidden(ApiError):
    status, name, code = 403, "ForbiddenException", "Forbidden"

    def __init__(self, message: str = "You do not have sufficient access to perform this action.") -> None:
        super().__init__(message)


class NotFound(ApiError):
    status, name, code = 404, "NotFoundException", "NotFound"


class Conflict(ApiError):
    status, name, code = 409, "ConflictException", "Conflict"


class Throttled(ApiError):
    status, name, code = 429, "ThrottledClientException", "Throttled"


class ServiceFailure(ApiError):
    status, name, code = 500, "ServiceFailureException", "ServiceFailure"


class ServiceUnavailable(ApiError):
    status, name, code = 503, "ServiceUnavailableException", "ServiceUnavailable"


# What AWS's front ends answer outside the model (spec/wire.md §6).


class AccessDenied(ApiError):
    status, name, code = 403, "AccessDeniedException", "AccessDenied"


class MissingAuthenticationToken(ApiError):
    status, name, code = 403, "MissingAuthenticationTokenException", "MissingAuthenticationToken"


class UnrecognizedClient(ApiError):
    status, name, code = 403, "UnrecognizedClientException", "UnrecognizedClient"


class InvalidSignature(ApiError):
    status, name, code = 403, "InvalidSignatureException", "InvalidSignature"


class ExpiredToken(ApiError):
    status, name, code = 403, "ExpiredTokenException", "ExpiredToken"


class UnknownOperation(ApiError):
    status, name, code = 404, "UnknownOperationException", "NotFound"


class MethodNotAllowed(ApiError):
    status, name, code = 405, "MethodNotAllowedException", "MethodNotAllowed"


class RequestTimeout(ApiError):
    status, name, code = 408, "RequestTimeoutException", "RequestTimeout"


class RequestTooLarge(ApiError):
    status, name, code = 413, "RequestEntityTooLargeException", "RequestEntityTooLarge"


class NotBuilt(ApiError):
    """The operation exists in the contract, but not yet here."""

    status, name, code = 501, "NotImplemented", "NotImplemented"
