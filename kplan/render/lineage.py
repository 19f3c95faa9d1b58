r"""Render what feeds what, as text, as JSON, and as the source of a drawing for mermaid or Graphviz.

Known limits: mermaid draws 500 lines and 50,000 characters unless its host is configured otherwise (`maxEdges`,
`maxTextSize`), which GitHub and GitLab are not. Graphviz reads `&name;` and `\\N` in a label as more than text.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from kplan.inspect.lineage import TABLE, Graph, Node, fold_graph, moves_records
from kplan.kinds.nouns import count_kind
from kplan.kinds.registry import KINDS
from kplan.kinds.views import Flow
from kplan.model import Stack
from kplan.render.diagnostics import escape_controls
from kplan.render.graph import encode_label
from kplan.values import dataclass

FORMAT = "1.0"
MAX_SINGLE = 30  # tables or topics with the same flows that are shown one by one
TIGHTER_LIMITS = (10, 3, 1)  # tried in this order where a drawing is too large for mermaid
MAX_LINES, MAX_CHARACTERS = 500, 50_000
MERMAID_SHAPES = {"cylinder": ('[("', '")]'), "box": ('["', '"]'), "rounded": ('(["', '"])')}
DOT_SHAPES = {"cylinder": "cylinder", "box": "box", "rounded": "box"}


@dataclass(frozen=True, slots=True)
class Group:
    """Hold what is drawn inside one frame: the tables of a database, or what a stack declares. The last has none."""

    title: str
    nodes: Sequence[Node]


def group_nodes(graph: Graph) -> list[Group]:
    """Return the nodes by database and stack; what is not declared here comes last, without a frame."""
    nodes_by_title: dict[str, list[Node]] = defaultdict(list)
    for node in graph.nodes:
        noun = "database" if node.kind == TABLE else "stack"
        nodes_by_title[f"{noun} {node.group}" if node.group else ""].append(node)
    return [
        Group(title, nodes_by_title[title]) for title in sorted(nodes_by_title, key=lambda title: (not title, title))
    ]


def fold_for_people(graph: Graph, show_all: bool) -> Graph:
    """Return the graph for people: many similar nodes are one, unless `show_all`."""
    return graph if show_all else fold_graph(graph, MAX_SINGLE)


# -- JSON -------------------------------------------------------------------------------------------------------------
def make_document(graph: Graph, stacks: Sequence[Stack]) -> dict[str, Any]:
    """Return the public form, `schemas/graph.v1.json`: everything, by name."""
    return {
        "format_version": FORMAT,
        "stacks": [{"name": stack.name, "env": stack.env, "path": stack.path} for stack in stacks],
        "nodes": [
            {
                "id": node.id,
                "kind": node.kind,
                "name": node.name,
                "state": node.state,
                **({"database" if node.kind == TABLE else "stack": node.group} if node.group else {}),
            }
            for node in graph.nodes
        ],
        "edges": [{"from": start, "to": end} for start, end in graph.flows],
    }


# -- mermaid ----------------------------------------------------------------------------------------------------------
def render_mermaid(graph: Graph, show_all: bool = False) -> str:
    """Return the source of a mermaid flowchart, folded until mermaid draws it, unless `show_all`."""
    source = _write_mermaid(fold_for_people(graph, show_all))
    for max_single in () if show_all else TIGHTER_LIMITS:
        if fits_mermaid(source):
            break
        source = _write_mermaid(fold_graph(graph, max_single))
    return source


def fits_mermaid(source: str) -> bool:
    """Return whether mermaid draws it with its default configuration."""
    return source.count(" --> ") <= MAX_LINES and len(source) <= MAX_CHARACTERS


def _write_mermaid(graph: Graph) -> str:
    ids = _make_ids(graph)
    lines = ["flowchart LR"]
    for number, group in enumerate(group_nodes(graph), 1):
        nodes = [f"{ids[node.id]}{_write_box(node)}" for node in group.nodes]
        if group.title:
            nodes = [f'subgraph g{number}["{encode_label(group.title)}"]', *(f"  {line}" for line in nodes), "end"]
        lines += (f"  {line}" for line in nodes)
    lines += (f"  {ids[start]} --> {ids[end]}" for start, end in graph.flows)
    if any(node.state == "foreign" for node in graph.nodes):
        lines.append("  classDef foreign stroke-dasharray:5 5")
    return "\n".join(lines) + "\n"


def _write_box(node: Node) -> str:
    before, after = MERMAID_SHAPES[_choose_shape(node)]
    return f"{before}{encode_label(_make_label(node))}{after}{':::foreign' if node.state == 'foreign' else ''}"


def _choose_shape(node: Node) -> str:
    return "cylinder" if node.kind == TABLE else KINDS[node.kind].views.shape


def _make_label(node: Node) -> str:
    return f"{node.label} (foreign)" if node.state == "foreign" else node.label


def _make_ids(graph: Graph) -> dict[str, str]:
    return {node.id: f"n{number}" for number, node in enumerate(graph.nodes, 1)}


# -- Graphviz ---------------------------------------------------------------------------------------------------------
def render_dot(graph: Graph, show_all: bool = False) -> str:
    """Return the source of a Graphviz drawing."""
    graph = fold_for_people(graph, show_all)
    ids = _make_ids(graph)
    lines = ["digraph kplan {", "  rankdir=LR", '  node [fontname="monospace" fontsize=10]']
    for number, group in enumerate(group_nodes(graph), 1):
        nodes = [f"{ids[node.id]} [{_write_attributes(node)}]" for node in group.nodes]
        if group.title:
            title = f"label={quote_label(group.title)}"
            nodes = [f"subgraph cluster_{number} {{", *(f"  {line}" for line in [title, *nodes]), "}"]
        lines += (f"  {line}" for line in nodes)
    lines += (f"  {ids[start]} -> {ids[end]}" for start, end in graph.flows)
    return "\n".join([*lines, "}"]) + "\n"


def _write_attributes(node: Node) -> str:
    styles = ["rounded"] if _choose_shape(node) == "rounded" else []
    styles += ["dashed"] if node.state == "foreign" else []
    style = f' style="{",".join(styles)}"' if styles else ""
    return f"label={quote_label(_make_label(node))} shape={DOT_SHAPES[_choose_shape(node)]}{style}"


def quote_label(text: str) -> str:
    """Return a label of Graphviz that shows exactly the text."""
    escaped = escape_controls(text).replace("&", "&amp;").replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


# -- text -------------------------------------------------------------------------------------------------------------
def render_text(graph: Graph, show_all: bool = False) -> Iterator[str]:
    """Yield lines for a terminal: each connector with what flows in (`<`) and out (`>`), then the other resources."""
    graph = fold_for_people(graph, show_all)
    nodes = {node.id: node for node in graph.nodes}
    sources, targets = _index_flows(graph.flows)
    for node in graph.nodes:
        if moves_records(node.kind):
            yield f"{node.kind}/{escape_controls(node.label)}  (stack {node.group})"
            yield from _write_lines("<", [nodes[id] for id in sources[node.id]], "fed by", sources)
            yield from _write_lines(">", [nodes[id] for id in targets[node.id]], "read by", targets)
            yield ""
    unconnected = [
        node for node in graph.nodes if not (moves_records(node.kind) or sources[node.id] or targets[node.id])
    ]
    if unconnected:
        yield "no connector here feeds or reads:"
        yield from _write_lines(" ", unconnected, "", {})
        yield ""
    yield _write_summary(graph)


def _index_flows(flows: Sequence[Flow]) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
    sources: dict[str, list[str]] = defaultdict(list)
    targets: dict[str, list[str]] = defaultdict(list)
    for start, end in flows:
        targets[start].append(end)
        sources[end].append(start)
    return sources, targets


def _write_lines(sign: str, nodes: Sequence[Node], words: str, others: Mapping[str, Sequence[str]]) -> Iterator[str]:
    width = min(60, max((len(escape_controls(node.label)) for node in nodes), default=0))
    for node in nodes:
        details = _describe_node(node, words, others)
        yield (
            f"  {sign} {node.kind:<5} {escape_controls(node.label):<{width}}{f'  {details}' if details else ''}"
        ).rstrip()


def _describe_node(node: Node, words: str, others: Mapping[str, Sequence[str]]) -> str:
    """Return where a table is; what else feeds or reads a topic, and whether it is foreign."""
    if node.kind == TABLE:
        return escape_controls(node.group)
    names = ", ".join(escape_controls(id) for id in others.get(node.id, ()))
    parts = [f"{words} {names}"] if names else []
    parts += {"foreign": ["foreign: nothing here declares or feeds it"], "fed": ["not declared here"]}.get(
        node.state, []
    )
    return "; ".join(parts)


def _write_summary(graph: Graph) -> str:
    numbers: Counter[str] = Counter()
    for node in graph.nodes:
        numbers[node.kind] += len(node.members) or 1
    kinds = sorted(KINDS, key=lambda kind: not moves_records(kind))
    listed = [kind for kind in kinds if numbers[kind] or KINDS[kind].views.is_in_every_document]
    return f"{', '.join(count_kind(numbers[kind], kind) for kind in (TABLE, *listed))}."
