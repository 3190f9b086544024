"""Which role suffices where: the contract's table."""

import pytest

from ksnap.identity.principal import Role


@pytest.mark.parametrize(
    ("role", "may"),
    [
        (Role.ADMINISTRATOR, set(Role)),
        (Role.OPERATOR, {Role.OPERATOR, Role.VIEWER}),
        (Role.VIEWER, {Role.VIEWER}),
        (Role.AGENT, {Role.AGENT}),
    ],
)
def test_a_role_may_act_as(role: Role, may: set[Role]) -> None:
    assert {needed for needed in Role if role.may_act_as(needed)} == may
