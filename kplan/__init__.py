"""kplan: plan, apply and roll back Kafka topics and Kafka Connect connectors.

    loaded = kplan.load("stacks/shop.yaml", env="dev")
    plan = kplan.plan(loaded)
    result = kplan.apply(plan, loaded.environment)

What `__all__` names is for other programs (docs/library.md), and so is `kplan.testing`; all else may change any time.
Names are imported when they are first used, so `import kplan` costs next to nothing.
"""

from __future__ import annotations

from kplan.version import __version__

TYPE_CHECKING = False  # as type checkers read it; `typing` itself would have to be imported
if TYPE_CHECKING:
    from kplan.api import apply, destroy, from_json, load, load_environment, plan, plan_all, to_json, view
    from kplan.diagnostics import (
        Blocked,
        Busy,
        CapabilityMissing,
        Conflict,
        Declined,
        Denied,
        Diagnostic,
        ErrorClass,
        Interrupted,
        InterruptedRun,
        Invalid,
        JournalBroken,
        KplanError,
        Locked,
        Rejected,
        Severity,
        Span,
        Stale,
        Timeout,
        Unreachable,
        Unsupported,
    )
    from kplan.execution.run import Result, Stop
    from kplan.model import (
        Action,
        Address,
        AttrDiff,
        Change,
        Connector,
        Drift,
        Facts,
        Reader,
        Risk,
        Secret,
        Stack,
        Target,
        Topic,
        Undo,
    )
    from kplan.model.events import Event
    from kplan.planning.document import Plan, Summary
    from kplan.planning.order import Step
    from kplan.project.environment import Environment
    from kplan.project.loading import Loaded

__all__ = [
    "Action",
    "Address",
    "AttrDiff",
    "Blocked",
    "Busy",
    "CapabilityMissing",
    "Change",
    "Conflict",
    "Connector",
    "Declined",
    "Denied",
    "Diagnostic",
    "Drift",
    "Environment",
    "ErrorClass",
    "Event",
    "Facts",
    "Interrupted",
    "InterruptedRun",
    "Invalid",
    "JournalBroken",
    "KplanError",
    "Loaded",
    "Locked",
    "Plan",
    "Reader",
    "Rejected",
    "Result",
    "Risk",
    "Secret",
    "Severity",
    "Span",
    "Stack",
    "Stale",
    "Step",
    "Stop",
    "Summary",
    "Target",
    "Timeout",
    "Topic",
    "Undo",
    "Unreachable",
    "Unsupported",
    "__version__",
    "apply",
    "destroy",
    "from_json",
    "load",
    "load_environment",
    "plan",
    "plan_all",
    "to_json",
    "view",
]

_HOMES = {
    "api": "apply destroy from_json load load_environment plan plan_all to_json view",
    "project.environment": "Environment",
    "model.events": "Event",
    "project.loading": "Loaded",
    "model": "Action Address AttrDiff Change Connector Drift Facts Reader Risk Secret Stack Target Topic Undo",
    "planning.order": "Step",
    "planning.document": "Plan Summary",
    "execution.run": "Result Stop",
}  # of what is not in `diagnostics`

if not TYPE_CHECKING:  # a type checker would take every name for one that exists

    def __getattr__(name: str) -> object:
        """Return the public name, imported from the module where it lives."""
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        import importlib

        home = next((module for module, names in _HOMES.items() if name in names.split()), "diagnostics")
        found = globals()[name] = getattr(importlib.import_module(f"{__name__}.{home}"), name)
        return found

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})
