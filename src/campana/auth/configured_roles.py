"""Roles that stand in the settings."""

import hashlib

from campana.auth import policy
from campana.auth.sts import role_arn, role_id
from campana.settings import Settings, SetupError
from campana.store.keys import Role


def configured_roles(settings: Settings) -> dict[str, Role]:
    """The roles of the settings by ARN; raises SetupError for one whose policies are none."""
    roles = {}
    for each in settings.roles:
        arn = role_arn(settings.account.partition, settings.account.account_id, each.name)
        document = each.policy.text if each.policy else ""
        try:
            policy.parse_trust(each.trust.text)
            if document:
                policy.parse(document)
        except policy.PolicyError as error:
            raise SetupError(f"the policies of the role {each.name} cannot be used: {error}") from None
        # The same after a restart, so that sessions outlive it.
        roles[arn] = Role(arn, role_id(hashlib.sha256(arn.encode()).hexdigest()), each.trust.text, document, 0)
    return roles
