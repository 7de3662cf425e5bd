from tests.harness import App, refused
from tests.operations.helpers import answered, bot, counted, during, pages, rest_of, room_for


def test_a_user_becomes_admin_and_is_described_and_listed(app: App) -> None:
    ann = app.user("ann")
    identity, who = app.identity, {"Arn": ann.arn, "Name": "Ann"}

    with during(app.server) as just_now:
        created = identity.create_app_instance_admin(AppInstanceArn=app.arn, AppInstanceAdminArn=ann.arn)
        found = identity.describe_app_instance_admin(AppInstanceArn=app.arn, AppInstanceAdminArn=ann.arn)

        just_now(made := found["AppInstanceAdmin"]["CreatedTimestamp"])
    assert answered(201, created) == {"AppInstanceAdmin": who, "AppInstanceArn": app.arn}
    assert answered(200, found) == {
        "AppInstanceAdmin": {"Admin": who, "AppInstanceArn": app.arn, "CreatedTimestamp": made}
    }
    assert answered(200, identity.list_app_instance_admins(AppInstanceArn=app.arn)) == {
        "AppInstanceArn": app.arn,
        "AppInstanceAdmins": [{"Admin": who}],
    }


def test_a_bot_may_be_admin(app: App) -> None:
    helper = bot(app, "helper")

    created = app.identity.create_app_instance_admin(AppInstanceArn=app.arn, AppInstanceAdminArn=helper.arn)

    assert created["AppInstanceAdmin"] == {"Arn": helper.arn, "Name": "Helper"}
    assert helper.list_channels(AppInstanceArn=app.arn, Privacy="PRIVATE")["Channels"] == []


def test_somebody_is_made_admin_once(app: App) -> None:
    ann = app.admin("ann")

    with refused("Conflict"):
        app.identity.create_app_instance_admin(AppInstanceArn=app.arn, AppInstanceAdminArn=ann.arn)

    assert counted(app.server, app.arn, "admins") == 1


def test_only_live_users_and_bots_of_the_app_instance_become_admins(app: App) -> None:
    gone, stranger = app.user("gone"), App(app.server).user("stranger")
    app.identity.delete_app_instance_user(AppInstanceUserArn=gone.arn)

    for arn in (f"{app.arn}/user/nobody", gone.arn, stranger.arn, app.arn, "nonsense"):
        with refused("BadRequest"):
            app.identity.create_app_instance_admin(AppInstanceArn=app.arn, AppInstanceAdminArn=arn)

    assert app.identity.list_app_instance_admins(AppInstanceArn=app.arn)["AppInstanceAdmins"] == []


def test_describing_somebody_who_is_no_admin_is_forbidden(app: App) -> None:
    ann, stranger = app.user("ann"), App(app.server).admin("stranger")

    for arn in (ann.arn, stranger.arn, f"{app.arn}/user/nobody"):
        with refused("Forbidden"):
            app.identity.describe_app_instance_admin(AppInstanceArn=app.arn, AppInstanceAdminArn=arn)


def test_the_role_can_be_taken_away_again_and_again_and_the_user_stays(app: App) -> None:
    ann = app.admin("ann")

    for _ in range(2):
        answered(204, app.identity.delete_app_instance_admin(AppInstanceArn=app.arn, AppInstanceAdminArn=ann.arn))

    with refused("Forbidden"):
        ann.list_channels(AppInstanceArn=app.arn, Privacy="PRIVATE")
    ann.list_channels(AppInstanceArn=app.arn)
    assert counted(app.server, app.arn, "admins") == 0
    app.identity.create_app_instance_admin(AppInstanceArn=app.arn, AppInstanceAdminArn=ann.arn)


def test_the_quota_of_admins_counts_those_who_are(app: App) -> None:
    ann, bob = app.admin("ann"), app.user("bob")
    room_for(app.server, app.arn, "admins", 0)

    with refused("ResourceLimitExceeded"):
        app.identity.create_app_instance_admin(AppInstanceArn=app.arn, AppInstanceAdminArn=bob.arn)

    with refused("Forbidden"):
        bob.list_channels(AppInstanceArn=app.arn, Privacy="PRIVATE")
    app.identity.delete_app_instance_user(AppInstanceUserArn=ann.arn)
    app.identity.create_app_instance_admin(AppInstanceArn=app.arn, AppInstanceAdminArn=bob.arn)


def test_admins_are_listed_in_the_order_they_became_it(app: App) -> None:
    admins = [app.admin(f"admin{n}") for n in range(5)]
    listing = app.identity.list_app_instance_admins

    first = listing(AppInstanceArn=app.arn, MaxResults=2)
    app.identity.delete_app_instance_user(AppInstanceUserArn=admins[3].arn)
    late = app.admin("late")
    rest = rest_of(listing, "AppInstanceAdmins", first, AppInstanceArn=app.arn, MaxResults=2)

    found = [each["Admin"]["Arn"] for each in [*first["AppInstanceAdmins"], *rest]]
    assert found == [admins[0].arn, admins[1].arn, admins[2].arn, admins[4].arn, late.arn]
    assert [len(page) for page in pages(listing, "AppInstanceAdmins", AppInstanceArn=app.arn, MaxResults=5)] == [5]


def test_a_token_of_another_app_instance_is_refused(app: App) -> None:
    app.admin("ann")
    app.admin("bob")
    token = app.identity.list_app_instance_admins(AppInstanceArn=app.arn, MaxResults=1)["NextToken"]

    with refused("BadRequest"):
        app.identity.list_app_instance_admins(AppInstanceArn=App(app.server).arn, NextToken=token)
