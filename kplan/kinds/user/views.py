"""Users in the views that only read."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from kplan.kinds.user.comparison import is_another_password
from kplan.kinds.user.user import ScramUser
from kplan.kinds.views import Shape, Views
from kplan.model import Health, Live
from kplan.model.fields import Json

WORKS, REFUSED, NOT_CHECKED = "works", "refused", "not checked"


class UserViews(Views[ScramUser]):
    plural = "users"
    shape: Shape = "rounded"

    def describe_row(self, user: ScramUser, health: Health | None) -> Json:
        return {"mechanisms": ", ".join(f"{name} {number}" for name, number in user.mechanisms.items())}

    def find_principals(self, user: ScramUser) -> Collection[str]:
        return (user.principal,)

    def describe_presence(self, declared: Sequence[ScramUser], live: Live, tries_logins: bool) -> Json:
        """Return what each user's login said, where users have logged in."""
        logins = {user.name: _describe_login(user, live) for user in declared if tries_logins}
        return {"logins": logins} if tries_logins else {}

    def list_main_attributes(self, fields: Mapping[str, Any]) -> Sequence[tuple[str, Any]]:
        return [(f"{name} iterations", each["iterations"]) for name, each in fields["mechanisms"].items()]

    def summarize(self, fields: Mapping[str, Any]) -> str:
        return ", ".join(fields["mechanisms"])


def _describe_login(user: ScramUser, live: Live) -> Json:
    """Return whether the login works; where that is not known, why."""
    now = live.resources.get(user.address)
    if not isinstance(now, ScramUser):
        return {"result": NOT_CHECKED, "reason": "it is not there"}
    if now.password is None:
        return {"result": NOT_CHECKED, "reason": now.uncompared or "no server lets it log in"}
    return {"result": REFUSED if is_another_password(user, now, None) else WORKS}
