"""App instance users: create, describe, update, delete, list."""

from campana import arn, events
from campana.api.base import Timestamp
from campana.api.identity import (
    AppInstanceUser,
    AppInstanceUserSummary,
    CreateAppInstanceUserRequest,
    CreateAppInstanceUserResponse,
    DeleteAppInstanceUserRequest,
    DescribeAppInstanceUserRequest,
    DescribeAppInstanceUserResponse,
    ListAppInstanceUsersRequest,
    ListAppInstanceUsersResponse,
    UpdateAppInstanceUserRequest,
    UpdateAppInstanceUserResponse,
)
from campana.auth.roles import POLICY_ONLY
from campana.errors import Conflict, Forbidden, NotBuilt
from campana.operations import app_instances
from campana.operations.quotas import give_back, take
from campana.operations.registry import operation
from campana.store import admins, deletions, identities
from campana.unit_of_work import Call

FORBIDDEN = 4003  # WebSocket close code (spec/realtime.md §3)


def _existing(call: Call, user_arn: str) -> identities.Identity:
    found = identities.find(call.tx, user_arn)
    if found is None or found.kind != arn.Kind.USER:
        raise Forbidden
    app_instances.existing(call, found.app_instance_arn)
    return found


@operation(on="app_instance_arn", allow=POLICY_ONLY)
def create_app_instance_user(call: Call, request: CreateAppInstanceUserRequest) -> CreateAppInstanceUserResponse:
    """Make a user with an id of the application's choice."""
    if request.tags is not None or request.expiration_settings is not None:
        raise NotBuilt("Tags and ExpirationSettings are not built yet.")
    app_instances.existing(call, request.app_instance_arn)
    user_arn = arn.within(request.app_instance_arn, arn.Kind.USER, request.app_instance_user_id)
    if deletions.find(call.tx, user_arn) is not None:
        raise Conflict("A user with this AppInstanceUserId is still being deleted.")
    fresh = identities.insert(
        call.tx,
        identities.Identity(
            arn=user_arn,
            app_instance_arn=request.app_instance_arn,
            kind=arn.Kind.USER,
            name=request.name,
            metadata=request.metadata or None,
            created_at=call.now,
            updated_at=call.now,
            deleted_at=None,
        ),
    )
    if not fresh:
        raise Conflict("A user with this AppInstanceUserId exists already.")
    take(call, request.app_instance_arn, "users")
    return CreateAppInstanceUserResponse(app_instance_user_arn=user_arn)


@operation(on="app_instance_user_arn", allow=POLICY_ONLY)
def describe_app_instance_user(call: Call, request: DescribeAppInstanceUserRequest) -> DescribeAppInstanceUserResponse:
    """All about a user."""
    row = _existing(call, request.app_instance_user_arn)
    return DescribeAppInstanceUserResponse(
        app_instance_user=AppInstanceUser(
            app_instance_user_arn=row.arn,
            name=row.name,
            metadata=row.metadata,
            created_timestamp=Timestamp(row.created_at),
            last_updated_timestamp=Timestamp(row.updated_at),
        )
    )


@operation(on="app_instance_user_arn", allow=POLICY_ONLY)
def update_app_instance_user(call: Call, request: UpdateAppInstanceUserRequest) -> UpdateAppInstanceUserResponse:
    """Replace name and metadata; the new name shows everywhere at once."""
    row = _existing(call, request.app_instance_user_arn)
    identities.update(call.tx, row.arn, name=request.name, metadata=request.metadata or None, at=call.now)
    return UpdateAppInstanceUserResponse(app_instance_user_arn=row.arn)


@operation(on="app_instance_user_arn", allow=POLICY_ONLY)
def delete_app_instance_user(call: Call, request: DeleteAppInstanceUserRequest) -> None:
    """The user can do nothing from now on, and live sessions close; memberships and roles go in the background."""
    row = _existing(call, request.app_instance_user_arn)
    identities.delete(call.tx, row.arn, call.now)
    give_back(call, row.app_instance_arn, "users")
    if admins.delete(call.tx, row.app_instance_arn, row.arn):
        give_back(call, row.app_instance_arn, "admins")
    deletions.add(call.tx, row.arn, call.now)
    events.close_sessions(call, row.arn, FORBIDDEN)


@operation(on="app_instance_arn", allow=POLICY_ONLY)
def list_app_instance_users(call: Call, request: ListAppInstanceUsersRequest) -> ListAppInstanceUsersResponse:
    """The users of an app instance, oldest first."""
    app_instances.existing(call, request.app_instance_arn)
    page = identities.page(call.tx, request.app_instance_arn, arn.Kind.USER, call.after, call.limit)
    return ListAppInstanceUsersResponse(
        app_instance_arn=request.app_instance_arn,
        app_instance_users=[
            AppInstanceUserSummary(app_instance_user_arn=row.arn, name=row.name, metadata=row.metadata)
            for row in page.rows
        ],
        next_token=call.token(page),
    )
