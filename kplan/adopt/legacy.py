"""Debezium's old property names and values under those of today, each change told.

Source: Debezium's release notes of 2.0 (`database.server.name`, `database.history.*`), 1.3 (white- and blacklists),
2.0.0.Alpha2 (all that was deprecated is gone: DBZ-5045), 2.x (`mongodb.hosts`) and 3.x (snapshot modes). What a
template's `renamed` and `values` say comes first.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Final

from kplan.connector import Blueprint
from kplan.model import Connector, Secret, Text

HISTORY: Final = "database.history."
TODAY: Final = "schema.history.internal."
RENAMED: Final = {
    "database.history.store.only.monitored.tables.ddl": f"{TODAY}store.only.captured.tables.ddl",
    "mongodb.name": "topic.prefix",
    "slot.drop_on_stop": "slot.drop.on.stop",
}
GONE: Final = {
    "database.history": "the history is in Kafka unless schema.history.internal says otherwise",
    "snapshot.new.tables": "a new table is read by an incremental snapshot: `new_tables: {snapshot: incremental}`",
    "sanitize.field.names": "field.name.adjustment.mode: avro says it today",
    "source.struct.version": "the source block has one structure, that of v2, which consumers of v1 have to learn",
    "mongodb.members.auto.discover": "the connection string says it today",
}


def modern(connector: Connector, blueprint: Blueprint, note: Callable[[str], None]) -> Connector:
    """The connector as Debezium wants it today; `note` is told of every change."""
    config: dict[str, Text] = {}
    who = f"connector/{connector.name}"
    for key, value in connector.config.items():
        name = _name(key, blueprint)
        if key in GONE:
            note(f"{who}: {key} is left out, Debezium has it no more: {GONE[key]}")
            continue
        if name != key:
            if name in connector.config:
                note(f"{who}: {key} is left out: {name}, its name today, is there too")
                continue
            note(f"{who}: {key} is {name} today")
        config[name] = _value(who, name, value, blueprint, note)
    return replace(connector, config=_hosts(who, config, note))


def outdated(connector: Connector, blueprint: Blueprint) -> list[str]:
    """What of the connector has another name today."""
    found = [f"{key} is {name} today" for key in connector.config if (name := _name(key, blueprint)) != key]
    for key, values in blueprint.values.items():
        value = connector.config.get(key)
        if isinstance(value, str) and value in values:
            found.append(f"{key}: {value} is {values[value]} today")
    return found


def _name(key: str, blueprint: Blueprint) -> str:
    if key in blueprint.renamed:
        return blueprint.renamed[key]
    if key in RENAMED:
        return RENAMED[key]
    return TODAY + key.removeprefix(HISTORY) if key.startswith(HISTORY) else key


def _value(who: str, key: str, value: Text, blueprint: Blueprint, note: Callable[[str], None]) -> Text:
    old = blueprint.values.get(key, {})
    if isinstance(value, Secret) or value not in old:
        return value
    note(f"{who}: {key}: {value} is {old[value]} today")
    return old[value]


def _hosts(who: str, config: dict[str, Text], note: Callable[[str], None]) -> dict[str, Text]:
    """MongoDB's list of hosts as a connection string: `rs0/a:27017,b:27017`, or hosts alone."""
    hosts = config.get("mongodb.hosts")
    if not isinstance(hosts, str) or "mongodb.connection.string" in config:
        return config
    replica_set, slash, rest = hosts.rpartition("/")
    option = f"?replicaSet={replica_set}" if slash else ""
    note(f"{who}: mongodb.hosts is mongodb.connection.string today")
    kept = {key: value for key, value in config.items() if key != "mongodb.hosts"}
    return {**kept, "mongodb.connection.string": f"mongodb://{rest}/{option}"}
