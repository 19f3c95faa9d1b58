"""Debezium's old property names and values under the current ones; each change is noted.

Source: Debezium's release notes of 2.0 (`database.server.name`, `database.history.*`), 1.3 (white- and blacklists),
2.0.0.Alpha2 (everything deprecated was removed: DBZ-5045), 2.x (`mongodb.hosts`) and 3.x (snapshot modes). A
template's `renamed` and `values` come first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Final

from kplan.kinds.connector import transforms
from kplan.kinds.connector.templates import Blueprint
from kplan.model import Connector, Secret, Text

OLD_HISTORY_PREFIX: Final = "database.history."
HISTORY_PREFIX: Final = "schema.history.internal."
RENAMED: Final = {
    "database.history.store.only.monitored.tables.ddl": f"{HISTORY_PREFIX}store.only.captured.tables.ddl",
    "mongodb.name": "topic.prefix",
    "slot.drop_on_stop": "slot.drop.on.stop",
}
REMOVED: Final = {
    "database.history": "the history is in Kafka unless schema.history.internal says otherwise",
    "snapshot.new.tables": "a new table is read by an incremental snapshot: `new_tables: {snapshot: incremental}`",
    "sanitize.field.names": "field.name.adjustment.mode: avro says it today",
    "source.struct.version": "the source block has one structure, that of v2, which consumers of v1 have to learn",
    "mongodb.members.auto.discover": "the connection string says it today",
}

RENAMED_TRANSFORMS: Final = frozenset({"ReplaceField"})  # transforms of which only names changed
UNWRAP_TRANSFORMS: Final = ("ExtractNewRecordState", "ExtractNewDocumentState")
# By drop.tombstones and delete.handling.mode, with the defaults of those Debezium versions. `none` kept the delete as a
# record without a value; with the tombstone after it there were two, and no mode does that.
DELETE_MODES: Final = {
    (True, "drop"): "drop",
    (False, "drop"): "tombstone",
    (True, "rewrite"): "rewrite",
    (False, "rewrite"): "rewrite-with-tombstone",
    (True, "none"): "delete-to-tombstone",
}


def modernize_connector(connector: Connector, blueprint: Blueprint, note: Callable[[str], None]) -> Connector:
    """Return the connector with Debezium's current names and values; `note` receives every change."""
    config: dict[str, Text] = {}
    renames: dict[str, str] = {}
    prefix = f"connector/{connector.name}"
    for key, value in connector.config.items():
        name = _current_name(key, blueprint)
        if key in REMOVED:
            note(f"{prefix}: {key} is left out, Debezium has it no more: {REMOVED[key]}")
            continue
        if name != key:
            if name in connector.config:
                note(f"{prefix}: {key} is left out: {name}, its name today, is there too")
                continue
            renames[key] = name
        config[name] = _current_value(prefix, name, value, blueprint, note)
    for text in _describe_renames(renames):
        note(f"{prefix}: {text}")
    return replace(connector, config=_modernize_hosts(prefix, config, note))


def modernize_transforms(connector: Connector, note: Callable[[str], None]) -> Connector:
    """Return the connector with the current names of its transforms' settings; `note` receives every change."""
    config = dict(connector.config)
    plain = {key: value for key, value in config.items() if isinstance(value, str)}
    address = f"connector/{connector.name}"
    for name in transforms.names(plain, "transforms"):
        prefix = f"transforms.{name}."
        class_name = transforms.simple_name(plain.get(f"{prefix}type", ""))
        for old, new in transforms.REMOVED.get(class_name, {}).items() if class_name in RENAMED_TRANSFORMS else ():
            if f"{prefix}{old}" in config and f"{prefix}{new}" not in config:
                config[f"{prefix}{new}"] = config.pop(f"{prefix}{old}")
                note(f"{address}: {prefix}{old} is {prefix}{new} today")
        if class_name in UNWRAP_TRANSFORMS:
            _merge_delete_modes(config, prefix, lambda text: note(f"{address}: {text}"))
    return replace(connector, config=config)


def _merge_delete_modes(config: dict[str, Text], prefix: str, note: Callable[[str], None]) -> None:
    """Write `drop.tombstones` and `delete.handling.mode` as the one setting that Debezium 3 has for both."""
    old_keys = [key for key in (f"{prefix}drop.tombstones", f"{prefix}delete.handling.mode") if key in config]
    new_key = f"{prefix}delete.tombstone.handling.mode"
    if not old_keys or new_key in config:
        return
    drops_tombstones = str(config.get(f"{prefix}drop.tombstones", "true")).strip().lower() == "true"
    delete_mode = str(config.get(f"{prefix}delete.handling.mode", "drop")).strip().lower()
    mode = DELETE_MODES.get((drops_tombstones, delete_mode))
    if mode is None:
        note(f"{', '.join(old_keys)}: Debezium 3 has {new_key} for this, and no mode of it does the same; it is kept")
        return
    for key in old_keys:
        del config[key]
    config[new_key] = mode
    note(f"{', '.join(old_keys)}: it is {new_key}: {mode} today")


def list_outdated_names(connector: Connector, blueprint: Blueprint) -> list[str]:
    """Return what has another name in the current Debezium, one text each."""
    texts = [f"{key} is {name} today" for key in connector.config if (name := _current_name(key, blueprint)) != key]
    for key, values in blueprint.values.items():
        value = connector.config.get(key)
        if isinstance(value, str) and value in values:
            texts.append(f"{key}: {value} is {values[value]} today")
    return texts


def _describe_renames(renames: Mapping[str, str]) -> Iterator[str]:
    """Yield a text for each renamed setting; those of the schema history are one."""
    of_history = {
        key: key.removeprefix(OLD_HISTORY_PREFIX)
        for key, name in renames.items()
        if key.startswith(OLD_HISTORY_PREFIX) and name == HISTORY_PREFIX + key.removeprefix(OLD_HISTORY_PREFIX)
    }
    is_merged = len(of_history) > 1
    yield from (f"{key} is {name} today" for key, name in renames.items() if not (is_merged and key in of_history))
    if is_merged:
        yield f"{OLD_HISTORY_PREFIX}* ({', '.join(of_history.values())}) is {HISTORY_PREFIX}* today"


def _current_name(key: str, blueprint: Blueprint) -> str:
    """Return the current name of a setting."""
    if key in blueprint.renamed:
        return blueprint.renamed[key]
    if key in RENAMED:
        return RENAMED[key]
    return HISTORY_PREFIX + key.removeprefix(OLD_HISTORY_PREFIX) if key.startswith(OLD_HISTORY_PREFIX) else key


def _current_value(address: str, key: str, value: Text, blueprint: Blueprint, note: Callable[[str], None]) -> Text:
    """Return the current value of a setting; note the change."""
    current_values = blueprint.values.get(key, {})
    if isinstance(value, Secret) or value not in current_values:
        return value
    note(f"{address}: {key}: {value} is {current_values[value]} today")
    return current_values[value]


def _modernize_hosts(address: str, config: dict[str, Text], note: Callable[[str], None]) -> dict[str, Text]:
    """Write MongoDB's list of hosts as a connection string: `rs0/a:27017,b:27017`, or hosts alone."""
    hosts = config.get("mongodb.hosts")
    if not isinstance(hosts, str) or "mongodb.connection.string" in config:
        return config
    replica_set, slash, rest = hosts.rpartition("/")
    option = f"?replicaSet={replica_set}" if slash else ""
    note(f"{address}: mongodb.hosts is mongodb.connection.string today")
    others = {key: value for key, value in config.items() if key != "mongodb.hosts"}
    return {**others, "mongodb.connection.string": f"mongodb://{rest}/{option}"}
