"""Texts of a connector's settings, for statements about the tables that it names."""

from __future__ import annotations

from collections.abc import Sequence

from kplan.kinds.connector.debezium.table_names import Settings
from kplan.kinds.connector.tables import is_pattern, split, unescape_name
from kplan.model import Connector
from kplan.text import join_names

MAX_COMMANDS = 5  # for single tables


def listed_names(config: Settings, setting: str) -> list[str]:
    """Return the names in a list of tables; patterns are left out."""
    names = [unescape_name(entry) for entry in split(config.get(setting, ""))]
    return [name for name in names if not is_pattern(name)]


def describe_others(names: Sequence[str]) -> str:
    """Return the end of a phrase with the tables that have no command in it, "" where there is none."""
    return f" and so for {join_names(names[MAX_COMMANDS:])}" if names[MAX_COMMANDS:] else ""


def plain_text(connector: Connector, *settings: str) -> str:
    """Return the first of `settings` that is set; "" for a secret, and for a reference that Connect alone resolves."""
    value = next((value for key in settings if (value := connector.config.get(key))), None)
    return value.strip() if isinstance(value, str) and "${" not in value else ""
