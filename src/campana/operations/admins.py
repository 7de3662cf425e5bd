"""App instance admins: a role of a user or bot."""

from campana.api.base import Timestamp
from campana.api.identity import (
    AppInstanceAdmin,
    AppInstanceAdminSummary,
    CreateAppInstanceAdminRequest,
    CreateAppInstanceAdminResponse,
    DeleteAppInstanceAdminRequest,
    DescribeAppInstanceAdminRequest,
    DescribeAppInstanceAdminResponse,
    ListAppInstanceAdminsRequest,
    ListAppInstanceAdminsResponse,
)
from campana.auth.roles import POLICY_ONLY
from campana.errors import BadRequest, Conflict, Forbidden
from campana.operations import app_instances
from campana.operations.quotas import give_back, take
from campana.operations.registry import operation
from campana.store import admins, identities
from campana.unit_of_work import Call, UnitOfWork


@operation(on="app_instance_arn", allow=POLICY_ONLY, iam=("app_instance_admin_arn", "app_instance_arn"))
def create_app_instance_admin(call: Call, request: CreateAppInstanceAdminRequest) -> CreateAppInstanceAdminResponse:
    """Make a user or bot of the app instance an admin of it."""
    app_instances.existing(call, request.app_instance_arn)
    call.tx.lock(request.app_instance_admin_arn)  # it is not to be deleted meanwhile
    identity = identities.find(call.tx, request.app_instance_admin_arn)
    if identity is None or identity.app_instance_arn != request.app_instance_arn:
        raise BadRequest("An invalid app instance user ARN was supplied")
    if not admins.insert(call.tx, admins.Admin(request.app_instance_arn, identity.arn, call.now)):
        raise Conflict("This user or bot is an admin of the app instance already.")
    take(call, request.app_instance_arn, "admins")
    return CreateAppInstanceAdminResponse(
        app_instance_admin=call.identity(identity.arn), app_instance_arn=request.app_instance_arn
    )


@operation(on="app_instance_arn", allow=POLICY_ONLY, iam=("app_instance_admin_arn", "app_instance_arn"))
def describe_app_instance_admin(
    call: Call, request: DescribeAppInstanceAdminRequest
) -> DescribeAppInstanceAdminResponse:
    """Since when somebody is an admin; Forbidden if they are not."""
    app_instances.existing(call, request.app_instance_arn)
    row = admins.find(call.tx, request.app_instance_arn, request.app_instance_admin_arn)
    if row is None:
        raise Forbidden
    return DescribeAppInstanceAdminResponse(
        app_instance_admin=AppInstanceAdmin(
            admin=call.identity(row.admin_arn),
            app_instance_arn=row.app_instance_arn,
            created_timestamp=Timestamp(row.created_at),
        )
    )


@operation(on="app_instance_arn", allow=POLICY_ONLY)
def list_app_instance_admins(call: Call, request: ListAppInstanceAdminsRequest) -> ListAppInstanceAdminsResponse:
    """The admins of an app instance, oldest first."""
    app_instances.existing(call, request.app_instance_arn)
    page = admins.page(call.tx, request.app_instance_arn, call.after, call.limit)
    call.look_up(row.admin_arn for row in page.rows)
    return ListAppInstanceAdminsResponse(
        app_instance_arn=request.app_instance_arn,
        app_instance_admins=[AppInstanceAdminSummary(admin=call.identity(row.admin_arn)) for row in page.rows],
        next_token=call.token(page),
    )


@operation(on="app_instance_arn", allow=POLICY_ONLY, iam=("app_instance_admin_arn", "app_instance_arn"))
def delete_app_instance_admin(call: Call, request: DeleteAppInstanceAdminRequest) -> None:
    """Take the role away; the user stays. No admin: nothing changes."""
    app_instances.existing(call, request.app_instance_arn)
    resign(call, request.app_instance_arn, request.app_instance_admin_arn)


def resign(unit: UnitOfWork, app_instance_arn: str, admin_arn: str) -> None:
    """Nobody's admin any more, if ever: also what happens to a user or bot that is deleted."""
    if admins.delete(unit.tx, app_instance_arn, admin_arn):
        give_back(unit, app_instance_arn, "admins")
