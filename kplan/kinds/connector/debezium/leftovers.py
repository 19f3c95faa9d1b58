"""What a deleted or restarted connector leaves in its database.

Nothing of this is in Kafka: the topics that a connector makes for itself (schema history, heartbeats, signals) are
declared with it, and have steps of their own. By engine, from the chapters "Setting up …" and "Dropping …" of
https://debezium.io/documentation/reference/stable/connectors/.
"""

from __future__ import annotations

from collections.abc import Collection

from kplan.kinds.connector.debezium.engines import ENGINES, engine_of
from kplan.kinds.connector.tables import split
from kplan.model import Change, Connector

_POSITIONS = [engine.position for engine in ENGINES.values() if engine.position is not None]


def left_behind(connector: Connector, dropped: Collection[str] = ()) -> list[str]:
    """Return phrases, each about one thing and with its command; what is `dropped` (`slot NAME`) does not stay."""
    engine = engine_of(connector)
    if engine is None:
        return []
    config = {key: value for key, value in connector.config.items() if isinstance(value, str)}
    signals = split(config.get("signal.data.collection", ""))
    phrases = [*engine.list_leftovers(config), *map(engine.describe_signals, signals)]
    return [each for each in phrases if not each.startswith(tuple(f"{name} keeps" for name in dropped))
            and not each.startswith(tuple(f"{name}{sign}" for name in dropped for sign in ":,"))]  # fmt: skip


def describe_kept_position(change: Change) -> str:
    """Say what a connector goes on from after its settings have changed: its offsets, and what its server keeps."""
    config = change.before.config if isinstance(change.before, Connector) else {}
    for position in _POSITIONS:
        name = config.get(position.setting)
        if isinstance(name, str) and not any(diff.key == position.setting for diff in change.diffs):
            return f"offsets and {position.word} {name} are kept"
    return "offsets are kept"
