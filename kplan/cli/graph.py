"""kplan graph"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from kplan.cli.command import run_command
from kplan.cli.flags import CHANGED_SINCE, LOADING, SHOWING
from kplan.cli.options import option
from kplan.cli.session import Session

if TYPE_CHECKING:
    from kplan.inspect.lineage import Graph
    from kplan.model import Stack


@click.command(
    "graph",
    help="Show what feeds what: source tables, connectors, topics and the sinks that read them, within one stack and "
    "across several. Contacts no server.",
)
@click.argument("paths", metavar="[STACK...]", nargs=-1)
@LOADING
@CHANGED_SINCE
@option(
    "--format",
    "shape",
    type=click.Choice(["text", "mermaid", "dot", "json"]),
    default="text",
    help="Text, the source of a drawing by mermaid or Graphviz, or JSON.",
)
@option("--mermaid", "shape", flag_value="mermaid", help="Same as --format mermaid.")
@option("--dot", "shape", flag_value="dot", help="Same as --format dot.")
@option("--all", "every", is_flag=True, help="Draw each table and topic; by default more than 30 alike are combined.")
@option("--out", metavar="FILE", type=click.Path(dir_okay=False), default=None, help="Write it there.")
@SHOWING
@run_command
def command(session: Session, shape: str, every: bool, out: str | None) -> int:
    session.takes_project = True
    from kplan.app.graph import find_lineage
    from kplan.model import Target

    session.unasked = Target()
    session.view = "json" if shape == "json" else "text"  # of problems
    lineage = find_lineage(session.load_valid())
    session.show(lineage.diagnostics)
    drawing = _draw(session, lineage.graph, lineage.stacks, shape, every)
    if out:
        from kplan.cli.snapshot import save_output

        save_output(out, drawing)
    else:
        session.write_product(drawing)
    return 0


def _draw(session: Session, lineage_graph: Graph, stacks: Sequence[Stack], shape: str, every: bool) -> str:
    from kplan.render import lineage

    if shape == "json":
        return json.dumps(lineage.make_document(lineage_graph, stacks), indent=2, ensure_ascii=False) + "\n"
    if shape == "dot":
        return lineage.render_dot(lineage_graph, every)
    if shape == "text":
        return "\n".join(lineage.render_text(lineage_graph, every)) + "\n"
    source = lineage.render_mermaid(lineage_graph, every)
    if not lineage.fits_mermaid(source):
        session.note("warning: mermaid draws 500 lines and 50,000 characters unless maxEdges and maxTextSize say more")
    return source
