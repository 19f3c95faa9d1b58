"""The phases of an apply, in their order. More kinds of resource may use the numbers between them."""

from __future__ import annotations

from enum import IntEnum


class Phase(IntEnum):
    """When a change is made. Of two changes that do not wait for each other, the one of the earlier phase is first."""

    USERS_CHANGED = 10
    LEVELS_SET = 20  # of subjects whose schemas converters register
    SCHEMAS_REGISTERED = 30
    ACCESS_GRANTED = 50  # and quotas
    TOPICS_CREATED = 60
    TOPICS_CHANGED = 61
    CONNECTORS_CHANGED = 70
    CONNECTORS_DELETED = 80
    REPLICAS_MOVED = 90  # it may take hours, and what fails sooner would put it back
    TOPICS_REPLACED = 100
    TOPICS_DELETED = 101
    SUBJECTS_DELETED = 110
    ACCESS_REVOKED = 120
    USERS_DELETED = 130
    OWN_ACCESS_REVOKED = 140  # kplan's own user may need it until then
    LEDGER_ONLY = 150  # with the end of the run
