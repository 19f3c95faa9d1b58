"""Plan stacks: one plan each, in the order in which they are applied."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import field, replace
from typing import TYPE_CHECKING

from kplan.app.problems import mask_problems, problems_by_stack
from kplan.diagnostics import Invalid, sort_diagnostics
from kplan.phases import phase
from kplan.values import dataclass

if TYPE_CHECKING:
    from kplan.app.opening import OpenEnvironment
    from kplan.app.runtime import Runtime
    from kplan.model import Stack
    from kplan.planning.document import Plan
    from kplan.planning.pipeline import Options
    from kplan.project.loading import Loaded
    from kplan.state.base import Holder, Store


@dataclass(frozen=True, slots=True)
class PlanRequest:
    """How to plan. `targets`, `excluded` and `replaced` are addresses with globs; `accepted` names accepted dangers.

    `listed` are those of the patterns that come from a file of addresses. `drop` names what goes in the databases of
    deleted connectors: slot, publication, publication=NAME. `offline`: the servers do not check the changes.
    `checks_logins`: users log in where only that shows whether a password is right. `selector` has labels of what is
    planned, `team` among them.
    `from_snapshot`: a snapshot stands for the servers, so that no value of a secret is needed either. `commit` is the
    commit that the files are at.
    """

    mode: str = "apply"  # apply | destroy
    targets: tuple[str, ...] = ()
    excluded: tuple[str, ...] = ()
    replaced: tuple[str, ...] = ()
    accepted: tuple[str, ...] = ()
    drop: frozenset[str] = frozenset()
    offline: bool = False
    from_snapshot: bool = False
    commit: str = ""
    listed: frozenset[str] = frozenset()
    checks_logins: bool = True
    selector: Mapping[str, str] = field(default_factory=dict)

    @property
    def needs_secrets(self) -> bool:
        """Whether every sensitive variable must have a value."""
        return self.mode != "destroy" and not self.from_snapshot

    def options(self, key: str | None, created_at: str) -> Options:
        """Return what the pipeline is asked for. `key` signs the digests of secrets."""
        from kplan.planning.pipeline import Options
        from kplan.planning.risk import Accepted

        return Options(
            self.mode,
            self.targets,
            self.excluded,
            self.replaced,
            Accepted(self.accepted),
            self.offline or self.from_snapshot,
            key,
            created_at,
            self.commit,
            self.drop,
            self.listed,
            self.checks_logins and not self.offline and not self.from_snapshot,
            self.selector,
        )


def read_commit(process: Mapping[str, str]) -> str:
    """Return the commit of the files, as the CI service names it in its variables; empty where it does not."""
    return (process.get("GITHUB_SHA") or process.get("CI_COMMIT_SHA") or "")[:40]


@dataclass(frozen=True, slots=True)
class PlanOutcome:
    """The plans in the order in which they are applied, and how many seconds planning took."""

    plans: Sequence[Plan]
    seconds: float = 0.0


def refuse_unplannable(loaded: Loaded, stacks: Sequence[Stack], request: PlanRequest) -> None:
    """Raise Invalid where the files have errors, or where a variable of `stacks` has no value that the plan needs."""
    from kplan.planning.pipeline import not_for_apply

    unset = [problem for stack in stacks for problem in not_for_apply(stack)] if request.needs_secrets else []
    if loaded.has_errors or unset:
        raise Invalid([*loaded.diagnostics, *unset])


def plan_stacks(
    loaded: Loaded, stacks: Sequence[Stack], request: PlanRequest, opened: OpenEnvironment, runtime: Runtime
) -> PlanOutcome:
    """Plan `stacks`, which are all or some of `loaded.stacks`. The servers are read once, and nothing is written.

    Each plan has the problems of its stack's files among its diagnostics, without secrets. A plan with errors or
    dangers is returned like any other. Raises Unreachable, Denied, Timeout, InterruptedRun and JournalBroken.
    """
    from kplan.planning.pipeline import make_all

    started = time.monotonic()
    if not stacks:
        return PlanOutcome([])
    options = request.options(runtime.key, runtime.timestamp)
    with phase("plan"), runtime.show_progress(True):
        plans = make_all(stacks, opened.cluster, opened.store, options, opened.begun)
    of_files = problems_by_stack(loaded, stacks)
    problems = [sort_diagnostics([*of_files[plan.stack], *plan.diagnostics]) for plan in plans]
    masked = [tuple(mask_problems(runtime.mask, of_plan, loaded.texts)) for of_plan in problems]
    plans = [replace(plan, diagnostics=of_plan) for plan, of_plan in zip(plans, masked, strict=True)]
    return PlanOutcome(plans, time.monotonic() - started)


def find_holders(store: Store, plans: Sequence[Plan]) -> Mapping[str, Holder]:
    """Return who applies one of the planned stacks right now, by stack: that plan may be outdated soon.

    Each stack is a question to the brokers, so of several plans only those with steps count.
    """
    asked = [plan.stack for plan in plans if plan.steps or len(plans) == 1]
    return {stack: holder for stack in asked if (holder := store.holder(stack))}
