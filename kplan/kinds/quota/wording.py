"""How changes of quotas are put into words."""

from __future__ import annotations

from kplan.kinds.wording import Wording


class QuotaWording(Wording):
    changing = "setting its limits"
