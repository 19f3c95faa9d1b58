"""What feeds what, as text, as JSON, and as the source of a drawing for mermaid or Graphviz.

Known limits: mermaid draws 500 lines and 50,000 characters unless its host was told otherwise (`maxEdges`,
`maxTextSize`), which GitHub and GitLab are not. Graphviz reads `&name;` and `\\N` in a label as more than text.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kplan.inspect.lineage import TABLE, Graph, Node, folded, moves_records
from kplan.kinds.nouns import count_kind
from kplan.kinds.registry import KINDS
from kplan.kinds.views import Flow
from kplan.model import Stack
from kplan.render.diagnostics import escape_controls
from kplan.render.graph import encode_label

FORMAT = "1.0"
MANY = 30  # so many tables or topics with the same flows are shown one by one
TIGHTER = (10, 3, 1)  # what is tried where a drawing would be more than mermaid takes
MOST_LINES, MOST_TEXT = 500, 50_000
MERMAID_SHAPES = {"cylinder": ('[("', '")]'), "box": ('["', '"]'), "rounded": ('(["', '"])')}
DOT_SHAPES = {"cylinder": "cylinder", "box": "box", "rounded": "box"}


@dataclass(frozen=True, slots=True)
class Group:
    """What is drawn inside one frame: the tables of a database, or what a stack declares. The last one has none."""

    title: str
    nodes: Sequence[Node]


def groups(graph: Graph) -> list[Group]:
    """The nodes by database and stack; what nothing here declares comes last, in no frame."""
    inside: dict[str, list[Node]] = defaultdict(list)
    for node in graph.nodes:
        what = "database" if node.kind == TABLE else "stack"
        inside[f"{what} {node.group}" if node.group else ""].append(node)
    return [Group(title, inside[title]) for title in sorted(inside, key=lambda title: (not title, title))]


def shown(graph: Graph, every: bool) -> Graph:
    """The graph for people: many that are alike are one, unless `every` one was asked for."""
    return graph if every else folded(graph, MANY)


# -- JSON -------------------------------------------------------------------------------------------------------------
def document(graph: Graph, stacks: Sequence[Stack]) -> dict[str, Any]:
    """The public form, `schemas/graph.v1.json`: everything, by name."""
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
def mermaid(graph: Graph, every: bool = False) -> str:
    """The source of a mermaid flowchart, folded until mermaid draws it, unless `every` node was asked for."""
    source = _mermaid(shown(graph, every))
    for most in () if every else TIGHTER:
        if fits_mermaid(source):
            break
        source = _mermaid(folded(graph, most))
    return source


def fits_mermaid(source: str) -> bool:
    """Whether mermaid draws it as it is set up by default."""
    return source.count(" --> ") <= MOST_LINES and len(source) <= MOST_TEXT


def _mermaid(graph: Graph) -> str:
    ids = _ids(graph)
    lines = ["flowchart LR"]
    for number, group in enumerate(groups(graph), 1):
        nodes = [f"{ids[node.id]}{_box(node)}" for node in group.nodes]
        if group.title:
            nodes = [f'subgraph g{number}["{encode_label(group.title)}"]', *(f"  {each}" for each in nodes), "end"]
        lines += (f"  {each}" for each in nodes)
    lines += (f"  {ids[start]} --> {ids[end]}" for start, end in graph.flows)
    if any(node.state == "foreign" for node in graph.nodes):
        lines.append("  classDef foreign stroke-dasharray:5 5")
    return "\n".join(lines) + "\n"


def _box(node: Node) -> str:
    before, after = MERMAID_SHAPES[_shape(node)]
    return f"{before}{encode_label(_label(node))}{after}{':::foreign' if node.state == 'foreign' else ''}"


def _shape(node: Node) -> str:
    return "cylinder" if node.kind == TABLE else KINDS[node.kind].views.shape


def _label(node: Node) -> str:
    return f"{node.label} (foreign)" if node.state == "foreign" else node.label


def _ids(graph: Graph) -> dict[str, str]:
    return {node.id: f"n{number}" for number, node in enumerate(graph.nodes, 1)}


# -- Graphviz ---------------------------------------------------------------------------------------------------------
def dot(graph: Graph, every: bool = False) -> str:
    """The source of a Graphviz drawing."""
    graph = shown(graph, every)
    ids = _ids(graph)
    lines = ["digraph kplan {", "  rankdir=LR", '  node [fontname="monospace" fontsize=10]']
    for number, group in enumerate(groups(graph), 1):
        nodes = [f"{ids[node.id]} [{_looks(node)}]" for node in group.nodes]
        if group.title:
            title = f"label={quoted(group.title)}"
            nodes = [f"subgraph cluster_{number} {{", *(f"  {each}" for each in [title, *nodes]), "}"]
        lines += (f"  {each}" for each in nodes)
    lines += (f"  {ids[start]} -> {ids[end]}" for start, end in graph.flows)
    return "\n".join([*lines, "}"]) + "\n"


def _looks(node: Node) -> str:
    styles = ["rounded"] if _shape(node) == "rounded" else []
    styles += ["dashed"] if node.state == "foreign" else []
    style = f' style="{",".join(styles)}"' if styles else ""
    return f"label={quoted(_label(node))} shape={DOT_SHAPES[_shape(node)]}{style}"


def quoted(text: str) -> str:
    """A label of Graphviz that shows the text and nothing else."""
    plain = escape_controls(text).replace("&", "&amp;").replace("\\", "\\\\").replace('"', '\\"')
    return f'"{plain}"'


# -- text -------------------------------------------------------------------------------------------------------------
def text(graph: Graph, every: bool = False) -> Iterator[str]:
    """The lines for a terminal: each connector with what flows in (`<`) and out (`>`), then what is beside them."""
    graph = shown(graph, every)
    nodes = {node.id: node for node in graph.nodes}
    into, out = _ends(graph.flows)
    for node in graph.nodes:
        if moves_records(node.kind):
            yield f"{node.kind}/{escape_controls(node.label)}  (stack {node.group})"
            yield from _lines("<", [nodes[id] for id in into[node.id]], "fed by", into)
            yield from _lines(">", [nodes[id] for id in out[node.id]], "read by", out)
            yield ""
    apart = [node for node in graph.nodes if not (moves_records(node.kind) or into[node.id] or out[node.id])]
    if apart:
        yield "no connector here feeds or reads:"
        yield from _lines(" ", apart, "", {})
        yield ""
    yield _summary(graph)


def _ends(flows: Sequence[Flow]) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
    into: dict[str, list[str]] = defaultdict(list)
    out: dict[str, list[str]] = defaultdict(list)
    for start, end in flows:
        out[start].append(end)
        into[end].append(start)
    return into, out


def _lines(sign: str, nodes: Sequence[Node], words: str, others: Mapping[str, Sequence[str]]) -> Iterator[str]:
    width = min(60, max((len(escape_controls(node.label)) for node in nodes), default=0))
    for node in nodes:
        said = _said(node, words, others)
        yield f"  {sign} {node.kind:<5} {escape_controls(node.label):<{width}}{f'  {said}' if said else ''}".rstrip()


def _said(node: Node, words: str, others: Mapping[str, Sequence[str]]) -> str:
    """Where a table is; by whom else a topic is fed or read, and whether it is somebody else's."""
    if node.kind == TABLE:
        return escape_controls(node.group)
    names = ", ".join(escape_controls(id) for id in others.get(node.id, ()))
    said = [f"{words} {names}"] if names else []
    said += {"foreign": ["foreign: nothing here declares or feeds it"], "fed": ["not declared here"]}.get(
        node.state, []
    )
    return "; ".join(said)


def _summary(graph: Graph) -> str:
    numbers: Counter[str] = Counter()
    for node in graph.nodes:
        numbers[node.kind] += len(node.members) or 1
    kinds = sorted(KINDS, key=lambda kind: not moves_records(kind))
    shown = [kind for kind in kinds if numbers[kind] or KINDS[kind].views.is_in_every_document]
    return f"{', '.join(count_kind(numbers[kind], kind) for kind in (TABLE, *shown))}."
