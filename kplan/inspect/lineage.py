"""What feeds what across stacks: source tables, what moves records, and what holds them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from kplan.kinds.nouns import count_kind
from kplan.kinds.registry import KINDS
from kplan.kinds.views import Flow
from kplan.model import Stack

TABLE = "table"  # what a node is that is not a resource

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Node:
    """A table or a resource. `group` is the stack that declares it, of a table its database.

    `state`: `declared`, `fed` (something here writes it, nothing declares it), `foreign` (neither), or `source`.
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
        return f"{count_kind(len(self.members), self.kind)}: {self.members[0]} … {self.members[-1]}"


@dataclass(frozen=True, slots=True)
class Graph:
    """Nodes and flows between their ids, both in one order whatever the order of the files."""

    nodes: Sequence[Node]
    flows: Sequence[Flow]


def graph(stacks: Sequence[Stack]) -> Graph:
    """Everything that the stacks declare, with what feeds it and what it feeds."""
    owner = {str(address): stack.name for stack in stacks for address in stack.resources}
    encoded = [
        (str(address), KINDS[address.kind].encoding.encode(resource))
        for stack in stacks
        for address, resource in stack.resources.items()
        if moves_records(address.kind)
    ]
    found = {flow for address, fields in encoded for flow in find_flows(address, fields)}
    known = {*owner, *(end for _, end in found)}
    for address, fields in encoded:
        found |= set(KINDS[kind_of(address)].views.match_flows(address, fields, known))
    fed = {end for _, end in found}
    ids = {*owner, *(end for flow in found for end in flow)}
    return Graph(sorted((_node(id, owner, fed) for id in ids), key=_order), sorted(found))


def _order(node: Node) -> tuple[int, int, str]:
    """Tables come first, then what moves records, then all other resources."""
    rank = 0 if node.kind == TABLE else 1 if moves_records(node.kind) else 2
    return rank, [TABLE, *KINDS].index(node.kind), node.id


def _node(id: str, owner: Mapping[str, str], fed: Iterable[str]) -> Node:
    kind, _, name = id.partition("/")
    if kind == TABLE:
        database, table = table_of(id)
        return Node(id, kind, table, database, "source")
    return Node(id, kind, name, owner.get(id, ""), "declared" if id in owner else "fed" if id in fed else "foreign")


def kind_of(id: str) -> str:
    """Return the kind in a node's id, which is `table` or that of an address."""
    return id.partition("/")[0]


def moves_records(kind: str) -> bool:
    """Whether nodes of this kind have records from others and for others; each is shown by itself."""
    return kind in KINDS and KINDS[kind].views.moves_records


def find_flows(address: str, fields: Mapping[str, Any]) -> Iterable[Flow]:
    """Return what flows into a resource and out of it; `fields` are its encoding. None of a kind that is not known."""
    kind = kind_of(address)
    return KINDS[kind].views.find_flows(address, fields) if kind in KINDS else ()


def table_of(id: str) -> tuple[str, str]:
    """The database and the name in a table's id."""
    database, _, name = id.removeprefix("table/").partition(" ")
    return database, name


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
    if moves_records(node.kind):
        return node.id
    return node.kind, node.group, node.state, frozenset(around.get(node.id, ()))


def grouped(items: Iterable[T], likeness: Callable[[T], Hashable], most: int) -> list[list[T]]:
    """The items in groups of those that are alike, where there are more than `most` of them; else each by itself."""
    alike: dict[Hashable, list[T]] = defaultdict(list)
    for item in items:
        alike[likeness(item)].append(item)
    return [group for found in alike.values() for group in ([found] if len(found) > most else [[a] for a in found])]
