"""The stage in which the servers and the source databases judge the changes, without making them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING

from kplan.diagnostics import Diagnostic
from kplan.kinds.registry import KINDS
from kplan.model import Action, Address, Change, Target
from kplan.planning.draft import Draft
from kplan.planning.reading import start_call
from kplan.servers.base import Backend, Cluster
from kplan.state.base import Store

if TYPE_CHECKING:
    from kplan.planning.source_check import Looked


def reads_databases(changes: Sequence[Change]) -> bool:
    """Whether a change is of a kind whose resources read databases."""
    return any(KINDS[change.address.kind].reads_databases for change in changes)


def ask_servers(draft: Draft, cluster: Cluster, store: Store, target: Target) -> Draft:
    """Let the servers and the source databases judge the changes, and find out whether a run can be recorded."""
    looking = _looking(cluster, draft.all, target)
    recording = start_call(store.find_obstacle) if draft.all else None
    verified, problems = check(cluster, draft.all)
    if recording is not None and (obstacle := recording.result()) is not None:
        problems.append(obstacle.diagnostic())
    draft = draft.edit(
        lambda change: replace(change, options=replace(change.options, verified=_find_check(change, verified)))
    ).report(problems)
    if looking is None:
        return draft
    found = looking.result()
    return replace(draft.report(found.diagnostics), sources=found.checks)


def check(cluster: Cluster, changes: Sequence[Change]) -> tuple[Mapping[Address, str], list[Diagnostic]]:
    """Return which server accepted which change, and what they would refuse, each problem at its line."""
    problems: list[Diagnostic] = []
    verified: dict[Address, str] = {}
    by_address = {c.address: c for c in changes if c.action is not Action.RELEASE}
    with ThreadPoolExecutor(2) as pool:
        asked = [
            (b, pool.submit(_checked_by, b, [c for c in changes if c.address.kind == b.kind])) for b in cluster.backends
        ]
        for backend, future in asked:
            for address, said in future.result().items():
                problems += [_at(d, by_address[address]) for d in said]
                if not any(d.is_error for d in said):
                    verified[address] = backend.check_name
    return verified, problems


def _find_check(change: Change, verified: Mapping[Address, str]) -> str:
    """Return which check accepted it; what is given up is not asked for, whatever becomes of it in another stack."""
    return "" if change.action is Action.RELEASE else verified.get(change.address, "")


def _checked_by(backend: Backend, changes: Sequence[Change]) -> Mapping[Address, Sequence[Diagnostic]]:
    return backend.check(changes) if changes else {}


def _at(diagnostic: Diagnostic, change: Change) -> Diagnostic:
    """Return the problem at the line where the stack says the setting that the server named."""
    span = change.after.origin.at(diagnostic.path) if change.after else change.span
    return replace(diagnostic, address=diagnostic.address or str(change.address)).with_span(span or change.span)


def _looking(cluster: Cluster, changes: Sequence[Change], target: Target) -> Future[Looked] | None:
    """Return what the databases are being asked; None where no connector changes."""
    if not reads_databases(changes):
        return None
    from kplan.planning.source_check import look

    return start_call(lambda: look(cluster, changes, target))
