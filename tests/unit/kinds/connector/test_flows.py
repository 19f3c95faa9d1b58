"""What flows into a connector and out of it, by its encoding."""

from __future__ import annotations

from kplan.kinds.connector.encoding import ConnectorEncoding
from kplan.kinds.connector.flows import find_flows
from kplan.kinds.views import Flow
from kplan.model import Connector, Secret

POSTGRES = "io.debezium.connector.postgresql.PostgresConnector"
ADDRESS = "connector/c"


def flows(connector: Connector) -> list[Flow]:
    return list(find_flows(ADDRESS, ConnectorEncoding().encode(connector)))


def into(config: dict[str, str | Secret], java_class: str = POSTGRES) -> list[str]:
    return [start for start, end in flows(Connector("c", {"connector.class": java_class, **config})) if end == ADDRESS]


def test_where_a_connector_reads_from() -> None:
    assert into({"database.hostname": "h"}) == ["table/h every table"]
    assert into({"table.include.list": "a.b"}) == ["table/connector/c a.b"]
    assert into({"table.include.list": r"a\.b,c\,d"}) == ["table/connector/c a.b", "table/connector/c c,d"]
    assert into({"table.whitelist": "t"}, "io.confluent.connect.jdbc.JdbcSourceConnector") == ["table/connector/c t"]
    mongodb = {"mongodb.connection.string": "mongodb://u:pw@m1,m2/?x=y", "collection.include.list": "db.c"}
    assert into(mongodb) == ["table/m1,m2 db.c"]
    assert into({"database.hostname": Secret("x", "hidden"), "table.include.list": "a.b"}) == ["table/connector/c a.b"]
    assert into({}, "X") == []


def test_signals_are_read() -> None:
    found = flows(Connector("c", {"connector.class": "X", "signal.kafka.topic": "sig"}, feeds=("sig", "data")))
    assert list(found) == [("topic/sig", "connector/c"), ("connector/c", "topic/data")]
