"""What feeds what: source tables, connectors, topics and the sinks that read them, across stacks."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from kplan.kinds.connector.debezium.engines import TABLE_LISTS, find_host
from kplan.kinds.connector.tables import is_pattern, split
from kplan.language import limits as bounded
from kplan.model import Connector, Stack
from kplan.text import count

TABLES = (*TABLE_LISTS, "table.whitelist")  # Debezium's, and Confluent's JDBC source
DEBEZIUM = "io.debezium.connector."
EVERY = "every table"
KINDS = ("table", "connector", "topic")

T = TypeVar("T")
Flow = tuple[str, str]  # records go from the first to the second


@dataclass(frozen=True, slots=True)
class Node:
    """A table, connector or topic. `group` is the stack that declares it, of a table its database.

    `state`: `declared`, `fed` (a connector here writes it, nothing declares it), `foreign` (neither), or `source`.
    Of several that were folded into one, `members` are the names.
    """

    id: str
    kind: str
    name: str
    group: str
    state: str
    members: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        """Its name, or how many it stands for with the first and the last of them."""
        if not self.members:
            return self.name
        return f"{count(len(self.members), self.kind)}: {self.members[0]} … {self.members[-1]}"


@dataclass(frozen=True, slots=True)
class Graph:
    """Nodes and flows between their ids, both in one order whatever the order of the files."""

    nodes: Sequence[Node]
    flows: Sequence[Flow]


def graph(stacks: Sequence[Stack]) -> Graph:
    """Everything that the stacks declare, with what feeds it and what it feeds."""
    owner = {str(address): stack.name for stack in stacks for address in stack.resources}
    connectors = [r for stack in stacks for r in stack.resources.values() if isinstance(r, Connector)]
    found = {
        flow
        for each in connectors
        for flow in flows(str(each.address), each.java_class, each.config, each.feeds, each.reads)
    }
    known = {end for end in (*owner, *(end for _, end in found)) if end.startswith("topic/")}
    found |= {flow for each in connectors for flow in _by_pattern(each, known)}
    fed = {end for _, end in found}
    ids = {*owner, *(end for flow in found for end in flow)}
    return Graph(sorted((_node(id, owner, fed) for id in ids), key=_order), sorted(found))


def _order(node: Node) -> tuple[int, str]:
    return KINDS.index(node.kind), node.id


def _node(id: str, owner: Mapping[str, str], fed: Iterable[str]) -> Node:
    kind, _, name = id.partition("/")
    if kind == "table":
        database, table = table_of(id)
        return Node(id, kind, table, database, "source")
    return Node(id, kind, name, owner.get(id, ""), "declared" if id in owner else "fed" if id in fed else "foreign")


def _by_pattern(connector: Connector, topics: Iterable[str]) -> Iterator[Flow]:
    """What a sink reads by `topics.regex`, which matches whole names (Connect's `SinkTask.TOPICS_REGEX_CONFIG`)."""
    pattern, own = connector.config.get("topics.regex"), str(connector.address)
    if not isinstance(pattern, str):
        return
    found = [topic for topic in topics if _matches(pattern, topic.removeprefix("topic/"))]
    yield from ((topic, own) for topic in found or [f"topic/{pattern}"])


def _matches(pattern: str, name: str) -> bool:
    try:
        return bounded.pattern(pattern).match(name) is not None
    except ValueError:  # Java's expressions can do more than Python's
        return False


# -- one connector ----------------------------------------------------------------------------------------------------
def flows(
    own: str, java_class: str, config: Mapping[str, object], feeds: Iterable[str], reads: Iterable[str]
) -> dict[Flow, None]:
    """What flows into the connector with the address `own`, and out of it; config values that are no text are secret.

    The topic of signals, one of those that it needs, is read: Debezium's `signal.kafka.topic`.
    """
    into = [table_id(_database(own, config), name) for name in _tables(java_class, config)]
    signals = config.get("signal.kafka.topic")
    into += [f"topic/{name}" for name in (*reads, *(name for name in feeds if name == signals))]
    out = [f"topic/{name}" for name in feeds if name != signals]
    return dict.fromkeys([*((each, own) for each in into), *((own, each) for each in out)])


def table_id(database: str, name: str) -> str:
    return f"table/{database} {name}"


def table_of(id: str) -> tuple[str, str]:
    """The database and the name in a table's id."""
    database, _, name = id.removeprefix("table/").partition(" ")
    return database, name


def _tables(java_class: str, config: Mapping[str, object]) -> list[str]:
    """The names and regular expressions in the list of tables to read."""
    listed = next((text for key in TABLES if isinstance(text := config.get(key), str) and text), "")
    if not listed:
        return [EVERY] if java_class.startswith(DEBEZIUM) else []
    return [_name(entry) for entry in split(listed)]


def _name(entry: str) -> str:
    """A name without the escapes that an expression needs; an expression for several as it is."""
    name = re.sub(r"\\(.)", r"\1", entry)
    return entry if is_pattern(name) else name


def _database(own: str, config: Mapping[str, object]) -> str:
    """`HOST:PORT/NAME` of the connector's database, as far as its settings tell; else the connector itself."""
    text = {key: value for key, value in config.items() if isinstance(value, str)}
    host = find_host(text)
    if not host:
        return own.replace(" ", "_")
    port = f":{text['database.port']}" if text.get("database.port") else ""
    name = text.get("database.dbname") or text.get("database.names")
    return f"{host}{port}{f'/{name}' if name else ''}".replace(" ", "_")


# -- folding ----------------------------------------------------------------------------------------------------------
def folded(whole: Graph, most: int) -> Graph:
    """The graph with more than `most` tables or topics of the same group and with the same flows as one node."""
    around = neighbours(whole.flows)
    groups = grouped(whole.nodes, lambda node: _likeness(node, around), most)
    stands = {node.id: group[0].id for group in groups for node in group}
    nodes = [
        replace(group[0], members=tuple(node.name for node in group)) if len(group) > 1 else group[0]
        for group in groups
    ]
    return Graph(sorted(nodes, key=_order), sorted({(stands[start], stands[end]) for start, end in whole.flows}))


def neighbours(flows: Iterable[Flow]) -> Mapping[str, set[tuple[str, str]]]:
    """For each end of a flow, which way to what."""
    found: dict[str, set[tuple[str, str]]] = defaultdict(set)
    for start, end in flows:
        found[start].add((">", end))
        found[end].add(("<", start))
    return found


def _likeness(node: Node, around: Mapping[str, set[tuple[str, str]]]) -> Hashable:
    if node.kind == "connector":
        return node.id
    return node.kind, node.group, node.state, frozenset(around.get(node.id, ()))


def grouped(items: Iterable[T], likeness: Callable[[T], Hashable], most: int) -> list[list[T]]:
    """The items in groups of those that are alike, where there are more than `most` of them; else each by itself."""
    alike: dict[Hashable, list[T]] = defaultdict(list)
    for item in items:
        alike[likeness(item)].append(item)
    return [group for found in alike.values() for group in ([found] if len(found) > most else [[a] for a in found])]
