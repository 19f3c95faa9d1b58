"""Prints, as JSON, the seconds that a plan of COUNT changes takes to be computed and to be shown in each view.

The plan is made of a stack file with nothing there: loading, comparing, weighing and ordering, and the document.
"""

from __future__ import annotations

import gc
import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

from kplan.model import Live
from kplan.planning.document import to_json
from kplan.planning.pipeline import Options, make
from kplan.project.loading import Request, load_project
from kplan.render.text import Context
from kplan.render.views import render
from kplan.servers.base import Cluster
from kplan.servers.recorded import Recorded
from kplan.state.sqlite import SqliteStore

KINDS = ("text", "md", "html", "json")


def seconds(call: Callable[[], object], rounds: int) -> float:
    """The median of what the call takes of the processor."""
    taken = []
    for _ in range(rounds):
        gc.collect()
        began = time.process_time()
        call()
        taken.append(time.process_time() - began)
    return statistics.median(taken)


def main(path: str, rounds: int) -> None:
    nothing = Cluster.of(Recorded("topic", Live()), None)
    store = SqliteStore(Path(path).parent / "views.db")

    def computed() -> dict[str, object]:
        loaded = load_project(Request((path,), env="local"))
        return to_json(make(loaded.stacks[0], nothing, store, Options(offline=True, created_at="2026-01-01T00:00:00Z")))

    document = computed()
    found = {"computing": seconds(computed, rounds)}
    for kind in KINDS:
        render(kind, [document], Context(paths=(path,)))  # its imports are not the view's
        found[kind] = seconds(lambda: render(kind, [document], Context(paths=(path,))), rounds)  # noqa: B023
    changes = document["changes"]
    assert isinstance(changes, list)
    print(json.dumps({"changes": len(changes), **found}))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
