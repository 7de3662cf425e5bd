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
    ExpirationCriterion,
    ExpirationSettings,
    ListAppInstanceUsersRequest,
    ListAppInstanceUsersResponse,
    PutAppInstanceUserExpirationSettingsRequest,
    PutAppInstanceUserExpirationSettingsResponse,
    UpdateAppInstanceUserRequest,
    UpdateAppInstanceUserResponse,
)
from campana.auth.roles import POLICY_ONLY
from campana.errors import Conflict, Forbidden
from campana.limits import USER_LISTS, USER_READS, USER_WRITES
from campana.operations import app_instances, tagging
from campana.operations.admins import resign
from campana.operations.expiration import expires_at
from campana.operations.quotas import give_back, take
from campana.operations.registry import Inside, operation
from campana.store import deletions, endpoints, identities, tags
from campana.unit_of_work import Call, UnitOfWork

FORBIDDEN = 4003  # WebSocket close code (spec/realtime.md §3)


def existing(call: Call, user_arn: str) -> identities.Identity:
    """The live user; Forbidden if there is none in the caller's account."""
    found = identities.find(call.tx, user_arn)
    if found is None or found.kind != arn.Kind.USER:
        raise Forbidden
    app_instances.existing(call, found.app_instance_arn)
    return found


@operation(
    on="app_instance_arn",
    allow=POLICY_ONLY,
    iam=(Inside(arn.Kind.USER, "app_instance_user_id"),),
    rate=USER_WRITES,
)
def create_app_instance_user(call: Call, request: CreateAppInstanceUserRequest) -> CreateAppInstanceUserResponse:
    """Make a user with an id of the application's choice."""
    app_instances.existing(call, request.app_instance_arn)
    tagging.check(request.tags)
    user_arn = arn.within(request.app_instance_arn, arn.Kind.USER, request.app_instance_user_id)
    call.tx.lock(user_arn)  # it may be about to be deleted
    if deletions.find(call.tx, user_arn) is not None:
        raise Conflict("A user with this AppInstanceUserId is still being deleted.")
    expiration = request.expiration_settings
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
            expiration_days=expiration.expiration_days if expiration else None,
            expiration_criterion=expiration.expiration_criterion.value if expiration else None,
            expires_at=expires_at(expiration, created_at=call.now),
        ),
    )
    if not fresh:
        raise Conflict("A user with this AppInstanceUserId exists already.")
    take(call, request.app_instance_arn, "users")
    tagging.put(call, user_arn, request.tags)
    return CreateAppInstanceUserResponse(app_instance_user_arn=user_arn)


@operation(on="app_instance_user_arn", allow=POLICY_ONLY, rate=USER_READS)
def describe_app_instance_user(call: Call, request: DescribeAppInstanceUserRequest) -> DescribeAppInstanceUserResponse:
    """All about a user."""
    row = existing(call, request.app_instance_user_arn)
    return DescribeAppInstanceUserResponse(
        app_instance_user=AppInstanceUser(
            app_instance_user_arn=row.arn,
            name=row.name,
            metadata=row.metadata,
            created_timestamp=Timestamp(row.created_at),
            last_updated_timestamp=Timestamp(row.updated_at),
            expiration_settings=_expiration(row),
        )
    )


def _expiration(row: identities.Identity) -> ExpirationSettings | None:
    if row.expiration_days is None or row.expiration_criterion is None:
        return None
    return ExpirationSettings(
        expiration_days=row.expiration_days, expiration_criterion=ExpirationCriterion(row.expiration_criterion)
    )


@operation(on="app_instance_user_arn", allow=POLICY_ONLY)
def put_app_instance_user_expiration_settings(
    call: Call, request: PutAppInstanceUserExpirationSettingsRequest
) -> PutAppInstanceUserExpirationSettingsResponse:
    """Let the user expire, or, without settings, live on."""
    row = existing(call, request.app_instance_user_arn)
    settings = request.expiration_settings
    identities.set_expiration(
        call.tx,
        row.arn,
        days=settings.expiration_days if settings else None,
        criterion=settings.expiration_criterion.value if settings else None,
        expires_at=expires_at(settings, created_at=row.created_at),
    )
    return PutAppInstanceUserExpirationSettingsResponse(app_instance_user_arn=row.arn, expiration_settings=settings)


@operation(on="app_instance_user_arn", allow=POLICY_ONLY, rate=USER_WRITES)
def update_app_instance_user(call: Call, request: UpdateAppInstanceUserRequest) -> UpdateAppInstanceUserResponse:
    """Replace name and metadata; the new name shows everywhere at once."""
    row = existing(call, request.app_instance_user_arn)
    identities.update(call.tx, row.arn, name=request.name, metadata=request.metadata or None, at=call.now)
    return UpdateAppInstanceUserResponse(app_instance_user_arn=row.arn)


@operation(on="app_instance_user_arn", allow=POLICY_ONLY, rate=USER_WRITES)
def delete_app_instance_user(call: Call, request: DeleteAppInstanceUserRequest) -> None:
    """The user can do nothing from now on, and live sessions close; memberships and roles go in the background."""
    delete(call, existing(call, request.app_instance_user_arn))


def delete(unit: UnitOfWork, row: identities.Identity) -> None:
    """The same without a call: also what happens to a user whose time is over."""
    identities.delete(unit.tx, row.arn, unit.now)
    endpoints.delete_all(unit.tx, row.arn)
    tags.delete_all(unit.tx, row.arn)
    give_back(unit, row.app_instance_arn, "users")
    resign(unit, row.app_instance_arn, row.arn)
    deletions.add(unit.tx, row.arn, unit.now)
    events.close_sessions(unit, row.arn, FORBIDDEN)


@operation(on="app_instance_arn", allow=POLICY_ONLY, iam=(Inside(arn.Kind.USER),), rate=USER_LISTS)
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
