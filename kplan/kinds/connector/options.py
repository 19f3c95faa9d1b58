"""What a connector's change has in addition to its differences: offsets, restarts, snapshots of new tables, drops."""

from __future__ import annotations

from kplan.model import Change, ChangeOptions
from kplan.values import dataclass


@dataclass(frozen=True, slots=True)
class ConnectorOptions(ChangeOptions):
    """`keep_offsets`: a deletion leaves them in Connect. `restart`: connector and tasks, although no config changes.

    `snapshots` are new tables (entries of an include list) whose rows are read afterwards, `stops` those whose snapshot
    is ended before. `drops` go in the database once the connector is gone: `slot NAME`, `publication NAME`.
    """

    keep_offsets: bool = False
    restart: bool = False
    snapshots: tuple[str, ...] = ()
    stops: tuple[str, ...] = ()
    drops: tuple[str, ...] = ()


def connector_options(change: Change) -> ConnectorOptions:
    """Return the options of a change of a connector; those of any other change are the usual ones."""
    options = change.options
    return options if isinstance(options, ConnectorOptions) else ConnectorOptions(options.effects, options.verified)


def drops_of(change: Change) -> tuple[str, ...]:
    """Return what goes in the connector's database."""
    return connector_options(change).drops


def snapshots_of(change: Change) -> tuple[str, ...]:
    """Return the new tables whose rows are read."""
    return connector_options(change).snapshots


def keeps_offsets(change: Change) -> bool:
    """Whether a deletion leaves the connector's offsets in Connect."""
    return connector_options(change).keep_offsets
