"""Read from stacks what feeds what."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from kplan.values import dataclass

if TYPE_CHECKING:
    from kplan.diagnostics import Diagnostic
    from kplan.inspect.lineage import Graph
    from kplan.model import Stack
    from kplan.project.loading import Loaded


@dataclass(frozen=True, slots=True)
class LineageOutcome:
    """The graph of all stacks, and the problems in their files that it does not show itself."""

    graph: Graph
    stacks: Sequence[Stack]
    diagnostics: Sequence[Diagnostic]


def find_lineage(loaded: Loaded) -> LineageOutcome:
    """Return what feeds what, within a stack and across several."""
    from kplan.diagnostics import codes, sort_diagnostics
    from kplan.inspect.lineage import build_graph

    # K215, a topic that is read and not fed: the graph itself shows that, and covers all stacks.
    others = sort_diagnostics(d for d in loaded.diagnostics if d.code != codes.K215.number)
    return LineageOutcome(build_graph(loaded.stacks), loaded.stacks, others)
