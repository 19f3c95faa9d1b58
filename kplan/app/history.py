"""Read who changed what, when and why: the runs of an environment, of a stack, and the changes of a resource."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from kplan.diagnostics import Invalid, codes, error
from kplan.kinds.registry import KINDS, parse_address
from kplan.values import dataclass

if TYPE_CHECKING:
    from kplan.model import Address
    from kplan.model.history import PastChange, RunSummary
    from kplan.state.base import Store


@dataclass(frozen=True, slots=True)
class ResourceHistory:
    """The changes of one resource, newest first, each with the run that made it, where its summary is still there."""

    address: Address
    owner: str  # the stack that owns it now; empty for none
    changes: Sequence[tuple[PastChange, RunSummary | None]]


def read_runs(store: Store, stack: str = "") -> list[RunSummary]:
    """Return the runs, newest first: of one stack, or all. Raises Invalid for a stack that never ran."""
    summaries = store.summaries()
    known = sorted({summary.stack for summary in summaries})
    if stack and stack not in known:
        help = f"known: {', '.join(known)}" if known else "nothing was applied yet"
        raise Invalid([error(codes.K606, "there is no run of this stack", stack, help=help)])
    return [summary for summary in reversed(summaries) if stack in ("", summary.stack)]


def read_changes(store: Store, address: Address) -> ResourceHistory:
    """Return the changes that runs of any stack made to the resource. Raises Invalid where there is none."""
    owned = store.ledger().get(address)
    runs: Mapping[str, RunSummary] = {summary.run: summary for summary in store.summaries()}
    changes = [change for of_stack in store.changes(address).values() for change in of_stack]
    if not changes and owned is None:
        help = "`kplan list` shows live resources and their owners"
        raise Invalid([error(codes.K606, "no run changed this", str(address), help=help)])
    newest_first = sorted(changes, key=lambda change: change.at, reverse=True)
    return ResourceHistory(address, owned.stack if owned else "", [(c, runs.get(c.run)) for c in newest_first])


def find_address(text: str) -> Address | None:
    """Return the address that a word is; None for a stack's name."""
    return parse_address(text) if text.partition("/")[0] in KINDS and "/" in text else None
