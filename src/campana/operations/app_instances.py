"""App instances: create, describe, update, delete, list."""

from campana import arn
from campana.api.base import Timestamp
from campana.api.identity import (
    AppInstance,
    AppInstanceRetentionSettings,
    AppInstanceSummary,
    ChannelRetentionSettings,
    CreateAppInstanceRequest,
    CreateAppInstanceResponse,
    DeleteAppInstanceRequest,
    DescribeAppInstanceRequest,
    DescribeAppInstanceResponse,
    GetAppInstanceRetentionSettingsRequest,
    GetAppInstanceRetentionSettingsResponse,
    ListAppInstancesRequest,
    ListAppInstancesResponse,
    PutAppInstanceRetentionSettingsRequest,
    PutAppInstanceRetentionSettingsResponse,
    UpdateAppInstanceRequest,
    UpdateAppInstanceResponse,
)
from campana.auth.roles import POLICY_ONLY
from campana.errors import Forbidden
from campana.limits import APP_INSTANCE_LISTS, APP_INSTANCE_READS, APP_INSTANCE_WRITES, RETENTION_GRACE_MS
from campana.operations import tagging
from campana.operations.quotas import take
from campana.operations.registry import operation
from campana.store import app_instances, counts, deletions, streaming, tags
from campana.unit_of_work import Call


def existing(call: Call, app_instance_arn: str) -> app_instances.AppInstance:
    """The app instance; Forbidden if there is none in the caller's account."""
    found = app_instances.find(call.tx, app_instance_arn)
    if found is None or found.account != call.caller.account:
        raise Forbidden
    return found


@operation(on=None, allow=POLICY_ONLY, rate=APP_INSTANCE_WRITES)
def create_app_instance(call: Call, request: CreateAppInstanceRequest) -> CreateAppInstanceResponse:
    """Make an app instance in the caller's account; its id is a UUID."""
    tagging.check(request.tags)
    take(call, call.caller.account, "app instances")
    app_instance_arn = arn.app_instance(call.settings.account.triple, call.ids.uuid())
    app_instances.insert(
        call.tx,
        app_instances.AppInstance(
            arn=app_instance_arn,
            account=call.caller.account,
            name=request.name,
            metadata=request.metadata or None,
            created_at=call.now,
            updated_at=call.now,
        ),
    )
    tagging.put(call, app_instance_arn, request.tags)
    return CreateAppInstanceResponse(app_instance_arn=app_instance_arn)


@operation(on="app_instance_arn", allow=POLICY_ONLY, rate=APP_INSTANCE_READS)
def describe_app_instance(call: Call, request: DescribeAppInstanceRequest) -> DescribeAppInstanceResponse:
    """All about an app instance."""
    row = existing(call, request.app_instance_arn)
    return DescribeAppInstanceResponse(
        app_instance=AppInstance(
            app_instance_arn=row.arn,
            name=row.name,
            created_timestamp=Timestamp(row.created_at),
            last_updated_timestamp=Timestamp(row.updated_at),
            metadata=row.metadata,
        )
    )


@operation(on="app_instance_arn", allow=POLICY_ONLY, rate=APP_INSTANCE_WRITES)
def update_app_instance(call: Call, request: UpdateAppInstanceRequest) -> UpdateAppInstanceResponse:
    """Replace name and metadata; "" clears the metadata."""
    row = existing(call, request.app_instance_arn)
    app_instances.update(call.tx, row.arn, name=request.name, metadata=request.metadata or None, at=call.now)
    return UpdateAppInstanceResponse(app_instance_arn=row.arn)


@operation(on="app_instance_arn", allow=POLICY_ONLY, rate=APP_INSTANCE_WRITES)
def delete_app_instance(call: Call, request: DeleteAppInstanceRequest) -> None:
    """Nothing inside can be used from now on; the rows go in the background, and live sessions are closed."""
    row = existing(call, request.app_instance_arn)
    app_instances.delete(call.tx, row.arn)
    streaming.delete_all(call.tx, row.arn)
    tags.delete_all(call.tx, row.arn)
    counts.add(call.tx, row.account, "app instances", -1)
    deletions.add(call.tx, row.arn, call.now)


@operation(on=None, allow=POLICY_ONLY, rate=APP_INSTANCE_LISTS)
def list_app_instances(call: Call, request: ListAppInstancesRequest) -> ListAppInstancesResponse:
    """The app instances of the caller's account, oldest first."""
    page = app_instances.page(call.tx, call.caller.account, call.after, call.limit)
    return ListAppInstancesResponse(
        app_instances=[
            AppInstanceSummary(app_instance_arn=row.arn, name=row.name, metadata=row.metadata) for row in page.rows
        ],
        next_token=call.token(page),
    )


@operation(on="app_instance_arn", allow=POLICY_ONLY)
def put_app_instance_retention_settings(
    call: Call, request: PutAppInstanceRetentionSettingsRequest
) -> PutAppInstanceRetentionSettingsResponse:
    """How many days messages are kept. Older ones are hidden at once, and deleted for good after 30 days of grace;
    {} keeps them for ever."""
    row = existing(call, request.app_instance_arn)
    given = request.app_instance_retention_settings
    days = given.channel_retention_settings.retention_days if given.channel_retention_settings else None
    deletes_from = row.retention_deletes_from
    if days is None:
        deletes_from = None
    elif days != row.retention_days or deletes_from is None:
        deletes_from = call.now + RETENTION_GRACE_MS
    app_instances.set_retention(call.tx, row.arn, days=days, deletes_from=deletes_from)
    return PutAppInstanceRetentionSettingsResponse(
        app_instance_retention_settings=_retention(days),
        initiate_deletion_timestamp=None if deletes_from is None else Timestamp(deletes_from),
    )


@operation(on="app_instance_arn", allow=POLICY_ONLY)
def get_app_instance_retention_settings(
    call: Call, request: GetAppInstanceRetentionSettingsRequest
) -> GetAppInstanceRetentionSettingsResponse:
    """How many days messages are kept, and from when on older ones are deleted for good."""
    row = existing(call, request.app_instance_arn)
    deletes_from = row.retention_deletes_from
    return GetAppInstanceRetentionSettingsResponse(
        app_instance_retention_settings=_retention(row.retention_days),
        initiate_deletion_timestamp=None if deletes_from is None else Timestamp(deletes_from),
    )


def _retention(days: int | None) -> AppInstanceRetentionSettings:
    if days is None:
        return AppInstanceRetentionSettings()
    return AppInstanceRetentionSettings(channel_retention_settings=ChannelRetentionSettings(retention_days=days))
