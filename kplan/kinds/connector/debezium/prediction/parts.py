"""The schemas that a connector will register for its tables, each with its subject and its fields."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final

from kplan.kinds.connector.config import plain
from kplan.kinds.connector.debezium.discovery import make_table_filter
from kplan.kinds.connector.debezium.listed_tables import listed_names
from kplan.kinds.connector.debezium.prediction.grafts import graft_key, graft_value
from kplan.kinds.connector.debezium.prediction.predict import find_obstacle, predict
from kplan.kinds.connector.debezium.prediction.structure import Fields, TableStructure
from kplan.kinds.connector.routing import Lost, routing
from kplan.language.template import topic_name
from kplan.model import Connector
from kplan.values import dataclass

SEPARATORS: Final = re.compile(r"[.\[\]{}]+")  # in the path of a field


@dataclass(frozen=True, slots=True)
class PredictedSchema:
    """The key or the value of a table's records, as a connector will register it under `subject`."""

    connector: Connector
    table: str
    subject: str
    fields: Fields
    graft: Callable[[str, Fields], str | None]

    def make_text(self, registered: str) -> str | None:
        """Return the registered schema with these fields; None where it is not one of Debezium's."""
        return self.graft(registered, self.fields)

    def find_column(self, path: str) -> str:
        """Return the column that a field such as `before.place.x` is of; empty where it is of none."""
        columns = {name: each.column for name, each in self.fields}
        names = SEPARATORS.split(path)
        inside = names[1:] if self.graft is graft_value else names
        return columns.get(inside[0], inside[0]) if inside else ""


def predict_parts(
    connector: Connector, tables: Sequence[TableStructure], unread: Mapping[str, str]
) -> Iterator[PredictedSchema | str]:
    """Yield the schemas of the tables that the connector captures, and a phrase for what is not predicted.

    `unread` says of a table why its structure is not known, and under "" what may be about any table. Raises KplanError
    for a list of tables that kplan cannot read.
    """
    if obstacle := find_obstacle(connector):
        yield obstacle
        return
    captures = make_table_filter(connector.config)
    signals = connector.config.get("signal.data.collection")
    find_topic = routing(plain(connector.config)).topic
    settings = {key: value for key, value in connector.config.items() if isinstance(value, str)}
    if "" in unread:
        yield unread[""]
    there = {table.name for table in tables}
    yield from (
        f"{name}: it is not there" for name in listed_names(settings, "table.include.list") if name not in there
    )
    for table in tables:
        if table.name == signals or not captures(table.name):
            continue
        if table.name in unread:
            yield f"{table.name}: {unread[table.name]}"
            continue
        try:
            topic = find_topic(topic_name(f"{connector.config.get('topic.prefix', '')}.{table.name}"))
        except Lost as reason:
            yield f"{table.name}: its topic is not known, {reason}"
            continue
        found = predict(table, connector)
        if found.missing:
            yield "; ".join(f"{table.name}: column {name}, {reason}" for name, reason in found.missing.items())
        else:
            yield PredictedSchema(connector, table.name, f"{topic}-value", found.value, graft_value)
        if found.missing_key:
            yield f"{table.name}: key, {found.missing_key}"
        elif found.key is not None:
            yield PredictedSchema(connector, table.name, f"{topic}-key", found.key, graft_key)
