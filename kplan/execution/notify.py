"""Tells receivers (webhooks, in the form that Slack takes) how a run ended or why it could not begin, and of drift."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from kplan.project.environment import Receiver
from kplan.text import count

if TYPE_CHECKING:
    from kplan.diagnostics import Diagnostic, KplanError
    from kplan.execution.run import Result
    from kplan.model import Address
    from kplan.planning.document import Plan

SECONDS = 10.0  # for one receiver
MOST_LEFT = 20  # differences in one message


def ends(outcome: str) -> frozenset[str]:
    """What receivers call the outcome under `when`."""
    return {
        "applied": frozenset({"success"}),
        "not_begun": frozenset({"failure"}),
        "blocked": frozenset({"blocked"}),
        "rolled_back": frozenset({"failure", "rollback"}),
        "incomplete": frozenset({"failure"}),
        "stopped": frozenset({"failure"}),
        "recovered": frozenset({"recovery"}),
        "completed": frozenset({"recovery"}),
    }.get(outcome, frozenset())


def failure(address: Address | None, error: KplanError | None) -> dict[str, str] | None:
    """What failed, by which code and why."""
    if error is None:
        return None
    return {"address": str(address or ""), "code": error.code, "cause": error.message}


def message(
    stack: str,
    env: str,
    run: str,
    outcome: str,
    said: str,
    left: Sequence[str],
    failed: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """The JSON that is posted: `text` for people (Slack, Mattermost, Google Chat), the rest for programs."""
    lines = _lines(stack, env, said, left)
    if failed and failed["cause"] not in said:
        lines.insert(1, ": ".join(filter(None, [failed["address"], f"{failed['code']} {failed['cause']}".strip()])))
    if outcome == "incomplete":
        lines.append(f"kplan recover {run}")
    about: dict[str, Any] = {"stack": stack, "env": env, "run": run, "outcome": outcome, "left": list(left)}
    about |= {"failed": dict(failed)} if failed else {}
    return {"text": "\n".join(lines), "kplan": about}


def _lines(stack: str, env: str, said: str, each: Sequence[str]) -> list[str]:
    more = [f"and {len(each) - MOST_LEFT} more"] if len(each) > MOST_LEFT else []
    return [f"kplan: {stack} ({env}): {said}", *(f"• {one}" for one in each[:MOST_LEFT]), *more]


@dataclass(slots=True)
class Notifier:
    """Tells the receivers of one environment, without secrets; `warn` gets what did not arrive.

    `told`: an error that is on its way out was told already.
    """

    to: Sequence[Receiver]
    env: str
    mask: Callable[[str], str]
    warn: Callable[[str], object]
    told: bool = False

    def run(self, plan: Plan, run: str, work: Callable[[], Result]) -> Result:
        """Returns or raises what `work` does, and tells how the run ended, or why it did not begin."""
        from kplan.diagnostics import KplanError

        try:
            result = work()
        except KplanError as e:
            if e.exit_code in (7, 8):
                self._tell(plan.stack, run, "incomplete", e.message, (), failure(None, e))
            else:
                self.refusal([plan.stack], e)
            self.told = True
            raise
        failed = failure(result.failed, result.error)
        self._tell(plan.stack, run, result.outcome, result.said, result.left, failed)
        return result

    def refusal(self, stacks: Sequence[str], error: KplanError) -> None:
        """Tells why an apply could not begin. A person's no is not a failure."""
        from kplan.diagnostics import Blocked, Declined, Interrupted, Invalid

        if isinstance(error, Declined | Interrupted):
            return
        outcome = "blocked" if isinstance(error, Blocked) else "not_begun"
        problems = [d for d in error.diagnostics if d.is_error] if isinstance(error, Invalid) else []
        self._refused(stacks, outcome, error.message, problems, failure(None, error))

    def plans(self, plans: Sequence[Plan]) -> None:
        """Tells of plans that cannot be applied: they have errors, or dangers that nobody accepted."""
        for plan in plans:
            problems = [d for d in plan.diagnostics if d.is_error]
            if problems:
                first = problems[0]
                about = {"address": first.address, "code": first.code, "cause": first.detail or first.summary}
                self._refused([plan.stack], "not_begun", "the plan has errors", problems, about)
            elif plan.exit_code:
                self.blocked([plan])

    def blocked(self, plans: Sequence[Plan]) -> None:
        """Tells of plans that dangers, `protect` or `max_changes` block."""
        for plan in plans:
            if plan.blocked and not plan.errored:
                self._tell(plan.stack, "", "blocked", "the plan is blocked.", plan.blocked, None)

    def _refused(self, stacks: Sequence[str], outcome: str, why: str, problems: Sequence[Diagnostic],
                 failed: Mapping[str, str] | None) -> None:  # fmt: skip
        said = f"nothing was applied: {why}"
        self._tell(", ".join(stacks), "", outcome, said, [str(problem) for problem in problems], failed)

    def _tell(self, stack: str, run: str, outcome: str, said: str, left: Sequence[str],
              failed: Mapping[str, str] | None) -> None:  # fmt: skip
        if not self.to or not (of := ends(outcome)):
            return
        shown = {key: self.mask(value) for key, value in failed.items()} if failed else None
        body = message(stack, self.env, run, outcome, self.mask(said), [self.mask(each) for each in left], shown)
        for problem in send(self.to, of, body):
            self.warn(problem)

    def health(self, stacks: Sequence[str], failed: Sequence[str], recovered: Sequence[str]) -> None:
        """Tells of connectors that were found FAILED (a line for each), and of those that run again (their names)."""
        for outcome, lines in (("failed", failed), ("recovered", recovered)):
            if not lines:
                continue
            what = "FAILED" if outcome == "failed" else "healthy again"
            said = f"{count(len(lines), 'connector')} {what}."
            stack = ", ".join(stacks)
            shown = [self.mask(line) for line in lines]
            about = {"stack": stack, "env": self.env, "outcome": f"connector_{outcome}", "connectors": shown}
            body = {"text": "\n".join(_lines(stack, self.env, said, shown)), "kplan": about}
            for problem in send(self.to, {"health"}, body, "of a connector's health") if self.to else ():
                self.warn(problem)


def tell_drift(to: Sequence[Receiver], stack: str, env: str, said: str, drift: Sequence[str]) -> list[str]:
    """Everybody who wants to hear of drift is told, in words without secrets; what did not arrive."""
    if not to:
        return []
    about = {"stack": stack, "env": env, "outcome": "drift", "drift": list(drift)}
    body = {"text": "\n".join(_lines(stack, env, said, drift)), "kplan": about}
    return send(to, {"drift"}, body, "of the drift")


def send(
    to: Sequence[Receiver], of: Collection[str], body: Mapping[str, Any], what: str = "how the run ended"
) -> list[str]:
    """Posts to all that want it; why it did not get there, in words without the URL's path, which often is a secret."""
    import requests

    from kplan.servers.http_limits import MIB, limited_session

    problems = []
    for receiver in to:
        if not set(receiver.when) & set(of):
            continue
        host = urlsplit(receiver.url).hostname or "its receiver"
        try:
            with limited_session(MIB) as session:
                answer = session.post(receiver.url, json=body, timeout=SECONDS, allow_redirects=False, stream=True)
        except (requests.RequestException, ValueError) as e:
            problems.append(f"{host} could not be told {what} ({type(e).__name__})")
            continue
        if answer.status_code >= 300:
            problems.append(f"{host} was told {what}, and answers {answer.status_code}")
    return problems
