"""How changes of users are put into words."""

from __future__ import annotations

from kplan.kinds.user.user import ScramUser
from kplan.kinds.wording import Wording
from kplan.language.template import references


class UserWording(Wording):
    changing = "setting its credentials"


def describe_unknown_password(user: ScramUser) -> str:
    """Say that the password that is to be set has no value here, and which variables give it one."""
    names = references(user.password.ref) if user.password is not None else ()
    remedy = f": set {' and '.join(f'KPLAN_VAR_{name}' for name in names)}" if names else ""
    return f"the password of {user.user_name} is not known here{remedy}"
