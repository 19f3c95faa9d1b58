"""Predicts the fields of the key and of the row that Debezium will register for a table."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, Protocol

from kplan.kinds.connector.debezium.discovery import make_list_filter
from kplan.kinds.connector.debezium.engine import Engine
from kplan.kinds.connector.debezium.engines import engine_of
from kplan.kinds.connector.debezium.engines.mariadb import MARIADB
from kplan.kinds.connector.debezium.engines.mysql import MYSQL
from kplan.kinds.connector.debezium.engines.postgres import POSTGRES
from kplan.kinds.connector.debezium.prediction import binlog, postgres
from kplan.kinds.connector.debezium.prediction.modes import Modes, find_unknown_mode
from kplan.kinds.connector.debezium.prediction.structure import (
    Avro,
    Column,
    Fields,
    NotPredicted,
    PredictedField,
    Prediction,
    TableStructure,
)
from kplan.kinds.connector.schemas import CLASSES
from kplan.kinds.connector.transforms import names, simple_name
from kplan.model import Connector

AVRO_CONVERTERS: Final = frozenset(java_class for (_, kind), java_class in CLASSES.items() if kind == "avro")
ONLY_TOPICS: Final = frozenset({"RegexRouter"})  # transforms that leave the records as they are
INVALID: Final = re.compile(r"[^A-Za-z0-9_]")


class ColumnRules(Protocol):
    """What Debezium makes of the columns of an engine."""

    USUAL_TIME: str

    def decide_type(self, column: Column, modes: Modes) -> Avro | None:
        """Return the type of a column's values; None where it is left out. Raises NotPredicted."""

    def has_default(self, column: Column, kind: Avro, modes: Modes) -> bool:
        """Whether the column's default is in the schema. Raises NotPredicted."""


# Settings that name subjects and records in another way than by the topic.
NAMING: Final = ("value.subject.name.strategy", "apicurio.registry.artifact-resolver-strategy")
RULES: Final[Mapping[Engine, ColumnRules]] = {POSTGRES: postgres, MYSQL: binlog, MARIADB: binlog}


def find_dialect(connector: Connector) -> tuple[str, str]:
    """Return the dialect of sqlglot for the connector's DDL, and the database of tables that are named without one."""
    engine = engine_of(connector)
    if engine is POSTGRES or engine is None:
        return "postgres", ""
    return "mysql", engine.names.find_home({k: v for k, v in connector.config.items() if isinstance(v, str)})


def writes_avro(connector: Connector) -> bool:
    """Whether a Debezium connector of a database that has rules here registers Avro schemas."""
    converter = connector.config.get("value.converter")
    return engine_of(connector) in RULES and isinstance(converter, str) and converter in AVRO_CONVERTERS


def find_obstacle(connector: Connector) -> str:
    """Return why nothing of a connector can be predicted; empty where it can."""
    config = {key: value for key, value in connector.config.items() if isinstance(value, str)}
    for name in names(config, "transforms"):
        java_class = config.get(f"transforms.{name}.type", "")
        if simple_name(java_class) not in ONLY_TOPICS:
            return f"transform {name} changes the records"
    if config.get("converters"):
        return f"converters {config['converters']} change columns"
    for key in config:
        if key.endswith(NAMING):
            return f"{key} names the subjects"
    if config.get("field.name.adjustment.mode", "none") not in ("none", "avro"):
        return f"field.name.adjustment.mode: {config['field.name.adjustment.mode']}"
    return find_unknown_mode(connector)


def predict(table: TableStructure, connector: Connector) -> Prediction:
    """Return what Debezium will register for a table of the connector, which has no obstacle."""
    engine = engine_of(connector)
    assert engine is not None, "a connector that writes_avro"
    rules = RULES[engine]
    modes = Modes.of(connector, rules.USUAL_TIME)
    captures = make_list_filter(connector.config, "column.include.list", "column.exclude.list")
    adjusts = connector.config.get("field.name.adjustment.mode") == "avro"
    missing: dict[str, str] = {}
    fields: dict[str, tuple[str, PredictedField]] = {}
    for column in table.columns:
        if not captures(f"{table.name}.{column.name}"):
            continue
        try:
            found = _predict_field(column, rules, modes)
            if found is not None:
                fields[column.name] = (_adjust(column.name) if adjusts else column.name), found
        except NotPredicted as reason:
            missing[column.name] = str(reason)
    key, missing_key = _predict_key(table, connector, fields)
    return Prediction(table.name, tuple(fields.values()), key, missing, missing_key)


def _predict_field(column: Column, rules: ColumnRules, modes: Modes) -> PredictedField | None:
    kind = rules.decide_type(column, modes)
    if kind is None:
        return None
    return PredictedField(column.name, kind, column.nullable, rules.has_default(column, kind, modes))


def _adjust(name: str) -> str:
    """Return a field's name as `avro` makes it. Raises NotPredicted."""
    if "." in name or not name.isascii():
        raise NotPredicted(f"name {name}")
    adjusted = INVALID.sub("_", name)
    return f"_{adjusted}" if adjusted[:1].isdigit() else adjusted


def _predict_key(
    table: TableStructure, connector: Connector, fields: Mapping[str, tuple[str, PredictedField]]
) -> tuple[Fields | None, str]:
    """Return the fields of the key, or why they are not predicted."""
    if connector.config.get("message.key.columns"):
        return None, "message.key.columns gives keys to tables"
    if not table.key:
        return None, "it has no primary key"
    absent = [name for name in table.key if name not in fields]
    if absent:
        return None, f"column {absent[0]} of the primary key is not predicted"
    return tuple(fields[name] for name in table.key), ""
