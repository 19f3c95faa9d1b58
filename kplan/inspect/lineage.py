"""Find what feeds what across stacks: source tables, what moves records, and what holds them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from kplan.kinds.nouns import count_kind
from kplan.kinds.registry import KINDS
from kplan.kinds.views import Flow
from kplan.model import Stack
from kplan.values import dataclass

TABLE = "table"  # the kind of nodes that are not resources

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Node:
    """Hold a table or a resource. `group` is the stack that declares it, of a table its database.

    `state`: `declared`, `fed` (written by something here, but not declared), `foreign` (neither), or `source`. Of
    several that were folded into one, `members` are the names.
    """

    id: str
    kind: str
    name: str
    group: str
    state: str
    members: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        """Return its name, or how many members it has with the first and the last of them."""
        if not self.members:
            return self.name
        return f"{count_kind(len(self.members), self.kind)}: {self.members[0]} … {self.members[-1]}"


@dataclass(frozen=True, slots=True)
class Graph:
    """Nodes and flows between their ids, both in one order whatever the order of the files."""

    nodes: Sequence[Node]
    flows: Sequence[Flow]


def build_graph(stacks: Sequence[Stack]) -> Graph:
    """Return everything that the stacks declare, with what feeds it and what it feeds."""
    owners = {str(address): stack.name for stack in stacks for address in stack.resources}
    encoded = [
        (str(address), KINDS[address.kind].encoding.encode(resource))
        for stack in stacks
        for address, resource in stack.resources.items()
        if moves_records(address.kind)
    ]
    flows = {flow for address, fields in encoded for flow in find_flows(address, fields)}
    ids_of_ends = {*owners, *(end for _, end in flows)}
    for address, fields in encoded:
        flows |= set(KINDS[name_kind(address)].views.match_flows(address, fields, ids_of_ends))
    fed_ids = {end for _, end in flows}
    ids = {*owners, *(end for flow in flows for end in flow)}
    return Graph(sorted((_make_node(id, owners, fed_ids) for id in ids), key=_order_node), sorted(flows))


def _order_node(node: Node) -> tuple[int, int, str]:
    """Order tables first, then what moves records, then all other resources."""
    rank = 0 if node.kind == TABLE else 1 if moves_records(node.kind) else 2
    return rank, [TABLE, *KINDS].index(node.kind), node.id


def _make_node(id: str, owner: Mapping[str, str], fed: Iterable[str]) -> Node:
    kind, _, name = id.partition("/")
    if kind == TABLE:
        database, table = split_table_id(id)
        return Node(id, kind, table, database, "source")
    return Node(id, kind, name, owner.get(id, ""), "declared" if id in owner else "fed" if id in fed else "foreign")


def name_kind(id: str) -> str:
    """Return the kind in a node's id, which is `table` or that of an address."""
    return id.partition("/")[0]


def moves_records(kind: str) -> bool:
    """Return whether nodes of this kind take records from others and pass them on; each is shown by itself."""
    return kind in KINDS and KINDS[kind].views.moves_records


def find_flows(address: str, fields: Mapping[str, Any]) -> Iterable[Flow]:
    """Return what flows into a resource and out of it; `fields` are its encoding. Empty for an unknown kind."""
    kind = name_kind(address)
    return KINDS[kind].views.find_flows(address, fields) if kind in KINDS else ()


def split_table_id(id: str) -> tuple[str, str]:
    """Return the database and the name in a table's id."""
    database, _, name = id.removeprefix("table/").partition(" ")
    return database, name


# -- folding ----------------------------------------------------------------------------------------------------------
def fold_graph(graph: Graph, max_single: int) -> Graph:
    """Return the graph with more than `max_single` similar tables or topics as one node: of one group, with the same
    flows."""
    neighbours_by_id = find_neighbours(graph.flows)
    groups = group_similar(graph.nodes, lambda node: _make_group_key(node, neighbours_by_id), max_single)
    representative = {node.id: group[0].id for group in groups for node in group}
    nodes = [
        replace(group[0], members=tuple(node.name for node in group)) if len(group) > 1 else group[0]
        for group in groups
    ]
    return Graph(
        sorted(nodes, key=_order_node),
        sorted({(representative[start], representative[end]) for start, end in graph.flows}),
    )


def find_neighbours(flows: Iterable[Flow]) -> Mapping[str, set[tuple[str, str]]]:
    """Return for each end of a flow its neighbours, with the direction."""
    neighbours_by_id: dict[str, set[tuple[str, str]]] = defaultdict(set)
    for start, end in flows:
        neighbours_by_id[start].add((">", end))
        neighbours_by_id[end].add(("<", start))
    return neighbours_by_id


def _make_group_key(node: Node, neighbours: Mapping[str, set[tuple[str, str]]]) -> Hashable:
    if moves_records(node.kind):
        return node.id
    return node.kind, node.group, node.state, frozenset(neighbours.get(node.id, ()))


def group_similar(items: Iterable[T], make_key: Callable[[T], Hashable], max_single: int) -> list[list[T]]:
    """Return the items in groups of similar ones, if a group has more than `max_single`; else each by itself."""
    groups: dict[Hashable, list[T]] = defaultdict(list)
    for item in items:
        groups[make_key(item)].append(item)
    return [
        group
        for similar in groups.values()
        for group in ([similar] if len(similar) > max_single else [[a] for a in similar])
    ]
