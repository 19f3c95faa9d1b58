"""Users in the views that only read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from kplan.kinds.user.user import ScramUser
from kplan.kinds.views import Shape, Views
from kplan.model import Health
from kplan.model.fields import Json


class UserViews(Views[ScramUser]):
    plural = "users"
    shape: Shape = "rounded"

    def describe_row(self, user: ScramUser, health: Health | None) -> Json:
        return {"mechanisms": ", ".join(f"{name} {number}" for name, number in user.mechanisms.items())}

    def list_main_attributes(self, fields: Mapping[str, Any]) -> Sequence[tuple[str, Any]]:
        return [(f"{name} iterations", each["iterations"]) for name, each in fields["mechanisms"].items()]

    def summarize(self, fields: Mapping[str, Any]) -> str:
        return ", ".join(fields["mechanisms"])
