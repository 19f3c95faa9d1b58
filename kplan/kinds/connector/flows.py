"""What flows into a connector and out of it: source tables, topics that it feeds and reads.

A connector is given as its encoding, of which a document of a plan may be the only source. Values of its config that
are no text are secret.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from kplan.kinds.connector.debezium.engines import TABLE_LISTS, find_host
from kplan.kinds.connector.tables import is_pattern, split
from kplan.kinds.views import Flow
from kplan.language import limits as bounded

TABLES = (*TABLE_LISTS, "table.whitelist")  # Debezium's, and Confluent's JDBC source
DEBEZIUM = "io.debezium.connector."
EVERY = "every table"
TABLE, TOPIC = "table/", "topic/"


def find_flows(address: str, connector: Mapping[str, Any]) -> dict[Flow, None]:
    """Return what flows into the connector and out of it.

    The topic of signals, one of those that it needs, is read: Debezium's `signal.kafka.topic`.
    """
    config = connector.get("config") or {}
    feeds, reads = connector.get("feeds", ()), connector.get("reads", ())
    into = [
        table_id(_find_database(address, config), name) for name in _find_tables(connector.get("class", ""), config)
    ]
    signals = config.get("signal.kafka.topic")
    into += [f"{TOPIC}{name}" for name in (*reads, *(name for name in feeds if name == signals))]
    out = [f"{TOPIC}{name}" for name in feeds if name != signals]
    return dict.fromkeys([*((each, address) for each in into), *((address, each) for each in out)])


def match_flows(address: str, connector: Mapping[str, Any], known: Iterable[str]) -> Iterator[Flow]:
    """Yield what a sink reads by `topics.regex`, which matches whole names (`SinkTask.TOPICS_REGEX_CONFIG`)."""
    pattern = (connector.get("config") or {}).get("topics.regex")
    if not isinstance(pattern, str):
        return
    topics = [id for id in known if id.startswith(TOPIC) and _matches(pattern, id.removeprefix(TOPIC))]
    yield from ((topic, address) for topic in topics or [f"{TOPIC}{pattern}"])


def _matches(pattern: str, name: str) -> bool:
    try:
        return bounded.pattern(pattern).match(name) is not None
    except ValueError:  # Java's expressions can do more than Python's
        return False


def table_id(database: str, name: str) -> str:
    """Return the id of a table in a graph."""
    return f"{TABLE}{database} {name}"


def _find_tables(java_class: object, config: Mapping[str, object]) -> list[str]:
    """Return the names and regular expressions in the list of tables to read."""
    tables = next((text for key in TABLES if isinstance(text := config.get(key), str) and text), "")
    if not tables:
        return [EVERY] if isinstance(java_class, str) and java_class.startswith(DEBEZIUM) else []
    return [_unescape(entry) for entry in split(tables)]


def _unescape(entry: str) -> str:
    """Return a name without the escapes that an expression needs; an expression for several as it is."""
    name = re.sub(r"\\(.)", r"\1", entry)
    return entry if is_pattern(name) else name


def _find_database(address: str, config: Mapping[str, object]) -> str:
    """Return `HOST:PORT/NAME` of the connector's database, as far as its settings tell; else the connector itself."""
    text = {key: value for key, value in config.items() if isinstance(value, str)}
    host = find_host(text)
    if not host:
        return address.replace(" ", "_")
    port = f":{text['database.port']}" if text.get("database.port") else ""
    name = text.get("database.dbname") or text.get("database.names")
    return f"{host}{port}{f'/{name}' if name else ''}".replace(" ", "_")
