"""Settings that several engines have, and what a change of them leads to."""

from __future__ import annotations

from kplan.diagnostics import codes
from kplan.kinds.connector.debezium.engine import SettingRisk

# With one of them the connector reads another database, or logs in as somebody else.
SAME_SOURCE = ("database.hostname", "database.port", "database.user", "signal.data.collection")


def moves_source(setting: str, consequence: str) -> SettingRisk:
    """Return the risk of a setting that decides from where a connector goes on."""
    return SettingRisk(codes.K408, f"another {setting}: {consequence}")


# Debezium keeps its offsets by the prefix, and not by the database that they are of.
ANOTHER_SOURCE = "changes in between are missed, or all is read again"
DATABASE_NAME_RISK = {"database.dbname": moves_source("database.dbname", ANOTHER_SOURCE)}
# Without it a task fails at its start: "The db history topic … is missing" (debezium-core's SchemaHistory).
_HISTORY = "schema.history.internal.kafka.topic"
HISTORY_RISK = {_HISTORY: moves_source(_HISTORY, "what it knows of the tables' structure stays in the old one")}
