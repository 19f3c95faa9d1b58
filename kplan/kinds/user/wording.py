"""How changes of users are put into words."""

from __future__ import annotations

from kplan.kinds.wording import Wording


class UserWording(Wording):
    changing = "setting its credentials"
