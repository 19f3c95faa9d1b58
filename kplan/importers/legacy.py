"""Debezium's old property names and values under those of today, each change told.

Source: Debezium's release notes of 2.0 (`database.server.name`, `database.history.*`), 1.3 (white- and blacklists),
2.0.0.Alpha2 (all that was deprecated is gone: DBZ-5045), 2.x (`mongodb.hosts`) and 3.x (snapshot modes). What a
template's `renamed` and `values` say comes first.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Final

from kplan.kinds.connector import transforms
from kplan.kinds.connector.templates import Blueprint
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

RENAMED_IN: Final = frozenset({"ReplaceField"})  # transforms of which only names changed
UNWRAP: Final = ("ExtractNewRecordState", "ExtractNewDocumentState")
# By drop.tombstones and delete.handling.mode, with Debezium's defaults of then. `none` let the delete through as a
# record without a value; with the tombstone behind it there were two, for which there is no mode.
DELETE_MODES: Final = {
    (True, "drop"): "drop",
    (False, "drop"): "tombstone",
    (True, "rewrite"): "rewrite",
    (False, "rewrite"): "rewrite-with-tombstone",
    (True, "none"): "delete-to-tombstone",
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


def modern_transforms(connector: Connector, note: Callable[[str], None]) -> Connector:
    """Return the connector with the settings of its transforms under the names of today; `note` gets every change."""
    config = dict(connector.config)
    plain = {key: value for key, value in config.items() if isinstance(value, str)}
    who = f"connector/{connector.name}"
    for name in transforms.names(plain, "transforms"):
        prefix = f"transforms.{name}."
        simple = transforms.simple_name(plain.get(f"{prefix}type", ""))
        for old, new in transforms.REMOVED.get(simple, {}).items() if simple in RENAMED_IN else ():
            if f"{prefix}{old}" in config and f"{prefix}{new}" not in config:
                config[f"{prefix}{new}"] = config.pop(f"{prefix}{old}")
                note(f"{who}: {prefix}{old} is {prefix}{new} today")
        if simple in UNWRAP:
            _one_mode(config, prefix, lambda text: note(f"{who}: {text}"))
    return replace(connector, config=config)


def _one_mode(config: dict[str, Text], prefix: str, note: Callable[[str], None]) -> None:
    """Write `drop.tombstones` and `delete.handling.mode` as the one setting that Debezium 3 has for both."""
    old = [key for key in (f"{prefix}drop.tombstones", f"{prefix}delete.handling.mode") if key in config]
    new = f"{prefix}delete.tombstone.handling.mode"
    if not old or new in config:
        return
    dropped = str(config.get(f"{prefix}drop.tombstones", "true")).strip().lower() == "true"
    deleted = str(config.get(f"{prefix}delete.handling.mode", "drop")).strip().lower()
    mode = DELETE_MODES.get((dropped, deleted))
    if mode is None:
        note(f"{', '.join(old)}: Debezium 3 has {new} for this, and no mode of it does the same; it is kept")
        return
    for key in old:
        del config[key]
    config[new] = mode
    note(f"{', '.join(old)}: it is {new}: {mode} today")


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
