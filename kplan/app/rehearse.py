"""Rehearse plans on a simulated cluster of their own, in a temporary folder."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from kplan.diagnostics import KplanError, codes, warning
from kplan.model.rehearsal import Rehearsal
from kplan.text import format_ranges

if TYPE_CHECKING:
    from kplan.app.runtime import Runtime
    from kplan.execution.rehearsal import Stage
    from kplan.model import Address, Owned
    from kplan.planning.document import Plan
    from kplan.project.environment import Simulated

MAX_WORK: Final = 82_000  # steps in all runs of a rehearsal together
MIN_BROKERS: Final = 3
IN_MEMORY: Final = Path("/dev/shm")  # of Linux; elsewhere a plain temporary folder


def rehearse_plans(plans: Sequence[Plan], runtime: Runtime) -> list[Plan]:
    """Return the plans, each with its rehearsal and a warning for each problem. An impossible one stays as it is."""
    return [plan if plan.errored else _add_rehearsal(plan, rehearse_plan(plan, runtime)) for plan in plans]


def _add_rehearsal(plan: Plan, rehearsal: Rehearsal) -> Plan:
    failures: dict[tuple[str, str], list[int]] = {}
    for problem in rehearsal.problems:
        failures.setdefault((problem.address, problem.message), []).append(problem.step)
    spans = {str(change.address): change.span for change in plan.changes}
    warnings = [
        warning(
            codes.K526,
            "a failure would not be put back",
            f"on a simulation, after a failure of step {format_ranges(steps)}: {message}",
            span=spans.get(address),
            address=address,
            help="this is a fault of kplan: report it with the plan",
        )
        for (address, message), steps in failures.items()
    ]
    return replace(plan, rehearsal=rehearsal, diagnostics=(*plan.diagnostics, *warnings))


def rehearse_plan(plan: Plan, runtime: Runtime, max_work: int = MAX_WORK) -> Rehearsal:
    """Return what came of the plan on the simulation. Of runs with more steps than `max_work` there is a sample."""
    from kplan.execution.rehearsal import prepare_plan, rehearse, seed

    prepared = prepare_plan(plan)
    moment = f"{runtime.now():%Y-%m-%dT%H:%M:%SZ}"
    with tempfile.TemporaryDirectory(dir=IN_MEMORY if IN_MEMORY.is_dir() else None) as folder:
        original = Path(folder, "before.db")
        try:
            with _open_stage(prepared, original, {}) as stage:
                seed(prepared, stage, moment)
                ledger = stage.store.ledger()
        except KplanError as failure:
            return Rehearsal(len(plan.steps), obstacle=failure.message)

        @contextmanager
        def open_copy() -> Iterator[Stage]:
            copy = original.with_name("now.db")
            if original.exists():  # something was there before
                shutil.copyfile(original, copy)
            try:
                with _open_stage(prepared, copy, ledger) as stage:
                    yield stage
            finally:
                for file in original.parent.glob("now.db*"):
                    file.unlink()

        return rehearse(prepared, open_copy, runtime.now, max_work)


@contextmanager
def _open_stage(plan: Plan, path: Path, ledger: Mapping[Address, Owned]) -> Iterator[Stage]:
    """Open the simulated cluster in the file, which need not exist yet, with this ledger in memory."""
    from kplan.app.servers import open_cluster
    from kplan.execution.rehearsal import Stage
    from kplan.project.environment import Environment
    from kplan.state.memory import MemoryStore

    environment = Environment(plan.env, folder=str(path.parent), simulated=_make_simulated(plan), sqlite=path.name)
    cluster = open_cluster(environment)
    try:
        yield Stage(environment, cluster, MemoryStore(ledger))
    finally:
        cluster.close()


def _make_simulated(plan: Plan) -> Simulated:
    """Return a cluster that is as wide as the plan needs it."""
    from kplan.kinds.connector.names import DEFAULT, alias_of
    from kplan.project.environment import Simulated
    from kplan.servers.base import needs_connect

    states = [state for change in plan.changes for state in (change.before, change.after) if state is not None]
    factors = [getattr(state, "replication_factor", 0) for state in states]
    values = {value for state in states for value in getattr(state, "config", {}).values() if isinstance(value, str)}
    aliases = [alias_of(state.address.name) for state in states if needs_connect([state.address])]
    return Simulated(
        max([MIN_BROKERS, plan.target.brokers, *factors]),
        connects=tuple(dict.fromkeys((DEFAULT, *filter(None, aliases)))),
        plugins=tuple(sorted(values)),  # each class that a setting names
    )
