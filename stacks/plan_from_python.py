"""Plans a stack from Python, looks at the plan, applies it, and says how that ended: on a simulated cluster by default.

    python stacks/plan_from_python.py [STACK [ENVIRONMENT]]

The exit code is that of the command line: 3 blocked, 4 invalid, 7 failed and put back.
"""

from __future__ import annotations

import sys
from pathlib import Path

import kplan

HERE = Path(__file__).parent


def main(stack: str = str(HERE / "quickstart.yaml"), env: str = "") -> int:
    try:
        loaded = kplan.load(stack, env=env)
        plan = kplan.plan(loaded)
        if problem := objection(plan):
            print(problem, file=sys.stderr)
            return plan.exit_code or 1
        result = kplan.apply(plan, loaded.environment, on_event=tell)
    except kplan.KplanError as e:  # a server does not answer, the files have errors, somebody else holds the stack, …
        print(f"{e}\n{e.help}".rstrip(), file=sys.stderr)
        return e.exit_code
    print(result.said)
    for difference in result.left:
        print(f"  left: {difference}")
    return result.exit_code


def objection(plan: kplan.Plan) -> str:
    """Why the plan is not applied: what blocks it, or a rule of this script's own."""
    if not plan.applyable:
        return kplan.view(plan)
    deleted = [change for change in plan.changes if change.action is kplan.Action.DELETE]
    if deleted:
        return f"this script deletes nothing: {', '.join(str(change.address) for change in deleted)}"
    return ""


def tell(event: kplan.Event) -> None:
    if event.type == "step_done":
        print(f"[{event.step}] {event.address}: {event.message}")


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
