"""How changes of bindings are put into words."""

from __future__ import annotations

from kplan.kinds.wording import Wording


class AclWording(Wording):
    deletion_undo = "create it again"
    deletion_undone = "created again"
