"""The policy of somebody who uses the service as one user, and as nobody else (spec/identity-auth.md §4)."""

import json
from typing import Final

from campana import arn
from campana.api.routes import ROUTES

_OWN: Final = (
    "Connect",
    "DescribeAppInstanceUser",
    "RegisterAppInstanceUserEndpoint",
    "DescribeAppInstanceUserEndpoint",
    "UpdateAppInstanceUserEndpoint",
    "DeregisterAppInstanceUserEndpoint",
    "ListAppInstanceUserEndpoints",
)


def user_policy(user: arn.Arn) -> str:
    """The document: every operation that has a bearer, with this user as the bearer; the live session; the user's own
    push endpoints. What the user may do to a channel is then decided by the user's roles there.
    """
    borne = [route.operation for route in ROUTES if "chime_bearer" in route.request.__struct_fields__]
    app = user.app_instance
    statements = [
        {"Effect": "Allow", "Action": "chime:GetMessagingSessionEndpoint", "Resource": "*"},
        {"Effect": "Allow", "Action": [f"chime:{name}" for name in _OWN], "Resource": user.text},
        {
            "Effect": "Allow",
            "Action": sorted(f"chime:{name}" for name in borne),
            "Resource": [user.text, f"{app}/channel/*", f"{app}/channel-flow/*"],
        },
    ]
    return json.dumps({"Version": "2012-10-17", "Statement": statements})
