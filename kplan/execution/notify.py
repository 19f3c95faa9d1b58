"""Notify receivers (webhooks, in the form that Slack takes) of how a run ended or why it could not begin, and of
drift."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from kplan.project.environment import Receiver
from kplan.text import count
from kplan.values import dataclass

if TYPE_CHECKING:
    from kplan.diagnostics import Diagnostic, KplanError
    from kplan.execution.run import Result
    from kplan.model import Address
    from kplan.planning.document import Plan

REQUEST_TIMEOUT_S = 10.0  # for one receiver
MAX_LINES = 20  # of differences in one message


def list_triggers(outcome: str) -> frozenset[str]:
    """Return what receivers call the outcome under `when`."""
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


def describe_failure(address: Address | None, error: KplanError | None) -> dict[str, str] | None:
    """Return what failed, with its code and its cause."""
    if error is None:
        return None
    return {"address": str(address or ""), "code": error.code, "cause": error.message}


def make_message(
    stack: str,
    env: str,
    run: str,
    outcome: str,
    summary: str,
    left: Sequence[str],
    failed: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Return the JSON that is posted: `text` for people (Slack, Mattermost, Google Chat), the rest for programs."""
    lines = _make_lines(stack, env, summary, left)
    if failed and failed["cause"] not in summary:
        lines.insert(1, ": ".join(filter(None, [failed["address"], f"{failed['code']} {failed['cause']}".strip()])))
    if outcome == "incomplete":
        lines.append(f"kplan recover {run}")
    about: dict[str, Any] = {"stack": stack, "env": env, "run": run, "outcome": outcome, "left": list(left)}
    about |= {"failed": dict(failed)} if failed else {}
    return {"text": "\n".join(lines), "kplan": about}


def _make_lines(stack: str, env: str, summary: str, details: Sequence[str]) -> list[str]:
    more = [f"and {len(details) - MAX_LINES} more"] if len(details) > MAX_LINES else []
    return [f"kplan: {stack} ({env}): {summary}", *(f"• {detail}" for detail in details[:MAX_LINES]), *more]


@dataclass(slots=True)
class Notifier:
    """Notify the receivers of one environment, without secrets; `warn` gets what did not arrive.

    `has_notified`: receivers were notified of the error that is being raised.
    """

    receivers: Sequence[Receiver]
    env: str
    mask: Callable[[str], str]
    warn: Callable[[str], object]
    has_notified: bool = False

    def run_and_notify(self, plan: Plan, run: str, work: Callable[[], Result]) -> Result:
        """Return or raise what `work` does, and notify how the run ended, or why it did not begin."""
        from kplan.diagnostics import KplanError

        try:
            result = work()
        except KplanError as e:
            if e.exit_code in (7, 8):
                self._notify(plan.stack, run, "incomplete", e.message, (), describe_failure(None, e))
            else:
                self.notify_refusal([plan.stack], e)
            self.has_notified = True
            raise
        failed = describe_failure(result.failed, result.error)
        self._notify(plan.stack, run, result.outcome, result.said, result.left, failed)
        return result

    def notify_refusal(self, stacks: Sequence[str], error: KplanError) -> None:
        """Notify why an apply could not begin. That a person declined is not a failure."""
        from kplan.diagnostics import Blocked, Declined, Interrupted, Invalid

        if isinstance(error, Declined | Interrupted):
            return
        outcome = "blocked" if isinstance(error, Blocked) else "not_begun"
        problems = (
            [diagnostic for diagnostic in error.diagnostics if diagnostic.is_error]
            if isinstance(error, Invalid)
            else []
        )
        self._notify_not_applied(stacks, outcome, error.message, problems, describe_failure(None, error))

    def notify_unusable(self, plans: Sequence[Plan]) -> None:
        """Notify of plans that cannot be applied: they have errors, or dangers that are not accepted."""
        for plan in plans:
            problems = [diagnostic for diagnostic in plan.diagnostics if diagnostic.is_error]
            if problems:
                first = problems[0]
                about = {"address": first.address, "code": first.code, "cause": first.detail or first.summary}
                self._notify_not_applied([plan.stack], "not_begun", "the plan has errors", problems, about)
            elif plan.exit_code:
                self.notify_blocked([plan])

    def notify_blocked(self, plans: Sequence[Plan]) -> None:
        """Notify of plans that dangers, `protect` or `max_changes` block."""
        for plan in plans:
            if plan.blocked and not plan.errored:
                self._notify(plan.stack, "", "blocked", "the plan is blocked.", plan.blocked, None)

    def _notify_not_applied(self, stacks: Sequence[str], outcome: str, reason: str, problems: Sequence[Diagnostic],
                 failed: Mapping[str, str] | None) -> None:  # fmt: skip
        summary = f"nothing was applied: {reason}"
        self._notify(", ".join(stacks), "", outcome, summary, [str(problem) for problem in problems], failed)

    def _notify(self, stack: str, run: str, outcome: str, summary: str, left: Sequence[str],
              failed: Mapping[str, str] | None) -> None:  # fmt: skip
        if not self.receivers or not (triggers := list_triggers(outcome)):
            return
        masked = {key: self.mask(value) for key, value in failed.items()} if failed else None
        body = make_message(
            stack, self.env, run, outcome, self.mask(summary), [self.mask(detail) for detail in left], masked
        )
        for problem in post_to_receivers(self.receivers, triggers, body):
            self.warn(problem)

    def notify_health(self, stacks: Sequence[str], failed: Sequence[str], recovered: Sequence[str]) -> None:
        """Notify of connectors that are FAILED (a line for each), and of those that run again (their names)."""
        for outcome, lines in (("failed", failed), ("recovered", recovered)):
            if not lines:
                continue
            state = "FAILED" if outcome == "failed" else "healthy again"
            summary = f"{count(len(lines), 'connector')} {state}."
            stack = ", ".join(stacks)
            masked = [self.mask(line) for line in lines]
            about = {"stack": stack, "env": self.env, "outcome": f"connector_{outcome}", "connectors": masked}
            body = {"text": "\n".join(_make_lines(stack, self.env, summary, masked)), "kplan": about}
            for problem in (
                post_to_receivers(self.receivers, {"health"}, body, "of a connector's health") if self.receivers else ()
            ):
                self.warn(problem)


def notify_drift(receivers: Sequence[Receiver], stack: str, env: str, summary: str, drift: Sequence[str]) -> list[str]:
    """Notify of drift, in words without secrets, and return what did not arrive."""
    if not receivers:
        return []
    about = {"stack": stack, "env": env, "outcome": "drift", "drift": list(drift)}
    body = {"text": "\n".join(_make_lines(stack, env, summary, drift)), "kplan": about}
    return post_to_receivers(receivers, {"drift"}, body, "of the drift")


def post_to_receivers(
    receivers: Sequence[Receiver],
    triggers: Collection[str],
    body: Mapping[str, Any],
    subject: str = "how the run ended",
) -> list[str]:
    """Post to the receivers with one of the triggers. Returns why some were not reached, without the URL's path, which
    often is a secret."""
    import requests

    from kplan.servers.http_limits import MIB, create_limited_session

    problems = []
    for receiver in receivers:
        if not set(receiver.when) & set(triggers):
            continue
        host = urlsplit(receiver.url).hostname or "its receiver"
        try:
            with create_limited_session(MIB) as session:
                answer = session.post(
                    receiver.url, json=body, timeout=REQUEST_TIMEOUT_S, allow_redirects=False, stream=True
                )
        except (requests.RequestException, ValueError) as e:
            problems.append(f"{host} could not be notified {subject} ({type(e).__name__})")
            continue
        if answer.status_code >= 300:
            problems.append(f"{host} was notified {subject} and answers {answer.status_code}")
    return problems
