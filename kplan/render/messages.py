"""Write what receivers (webhooks, in the form that Slack takes) are notified of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from kplan.text import count

if TYPE_CHECKING:
    from kplan.execution.notify import (
        BlockedNotice,
        DriftNotice,
        HealthNotice,
        NotBegunNotice,
        Notice,
        OutageNotice,
        RunNotice,
        Undelivered,
    )

MAX_LINES = 20  # of details in one message


def write_message(notice: Notice, env: str) -> dict[str, Any]:
    """Return the JSON that is posted: `text` for people (Slack, Mattermost, Google Chat), the rest for programs."""
    from kplan.execution.notify import BlockedNotice, HealthNotice, NotBegunNotice, OutageNotice, RunNotice

    match notice:
        case RunNotice():
            return _write_run(notice, env)
        case NotBegunNotice():
            return _write_not_begun(notice, env)
        case BlockedNotice():
            return _write_blocked(notice, env)
        case HealthNotice():
            return _write_health(notice, env)
        case OutageNotice():
            return _write_outage(notice, env)
        case _:
            return _write_drift(notice, env)


def describe_undelivered(notice: Notice, lost: Undelivered) -> str:
    """Return the warning that a receiver did not take the notice."""
    from kplan.execution.notify import DriftNotice, HealthNotice, OutageNotice

    subject = "how the run ended"
    if isinstance(notice, HealthNotice):
        subject = "of a connector's health"
    elif isinstance(notice, OutageNotice):
        subject = "of the servers"
    elif isinstance(notice, DriftNotice):
        subject = "of the drift"
    if lost.error:
        return f"{lost.host} could not be notified {subject} ({lost.error})"
    return f"{lost.host} was notified {subject} and answers {lost.status}"


def _write_run(notice: RunNotice, env: str) -> dict[str, Any]:
    body = _write_body(notice.stack, env, notice.run, notice.outcome, notice.summary, notice.left, notice.failed)
    if notice.outcome == "incomplete":
        body["text"] += f"\nkplan recover {notice.run}"
    return body


def _write_not_begun(notice: NotBegunNotice, env: str) -> dict[str, Any]:
    summary = f"nothing was applied: {notice.cause or 'the plan has errors'}"
    stacks = ", ".join(notice.stacks)
    return _write_body(stacks, env, "", notice.outcome, summary, notice.problems, notice.failed)


def _write_blocked(notice: BlockedNotice, env: str) -> dict[str, Any]:
    return _write_body(notice.stack, env, "", notice.outcome, "the plan is blocked.", notice.dangers, None)


def _write_body(
    stack: str,
    env: str,
    run: str,
    outcome: str,
    summary: str,
    left: Sequence[str],
    failed: Mapping[str, str] | None,
) -> dict[str, Any]:
    lines = _make_lines(stack, env, summary, left)
    if failed and failed["cause"] not in summary:
        lines.insert(1, ": ".join(filter(None, [failed["address"], f"{failed['code']} {failed['cause']}".strip()])))
    about: dict[str, Any] = {"stack": stack, "env": env, "run": run, "outcome": outcome, "left": list(left)}
    about |= {"failed": dict(failed)} if failed else {}
    return {"text": "\n".join(lines), "kplan": about}


def _write_health(notice: HealthNotice, env: str) -> dict[str, Any]:
    stacks, outcome = ", ".join(notice.stacks), "failed" if notice.has_failed else "recovered"
    state = "FAILED" if notice.has_failed else "healthy again"
    summary = f"{count(len(notice.connectors), 'connector')} {state}."
    connectors = list(notice.connectors)
    about = {"stack": stacks, "env": env, "outcome": f"connector_{outcome}", "connectors": connectors}
    return {"text": "\n".join(_make_lines(stacks, env, summary, connectors)), "kplan": about}


def _write_outage(notice: OutageNotice, env: str) -> dict[str, Any]:
    stacks, outcome = ", ".join(notice.stacks), "unreachable" if notice.cause else "reachable"
    summary = f"the servers do not answer: {notice.cause}" if notice.cause else "the servers answer again."
    about = {"stack": stacks, "env": env, "outcome": outcome, "cause": notice.cause}
    return {"text": "\n".join(_make_lines(stacks, env, summary, [])), "kplan": about}


def _write_drift(notice: DriftNotice, env: str) -> dict[str, Any]:
    outcome = "drift" if notice.drift else "drift_over"
    about = {"stack": notice.stack, "env": env, "outcome": outcome, "drift": list(notice.drift)}
    return {"text": "\n".join(_make_lines(notice.stack, env, notice.summary, notice.drift)), "kplan": about}


def _make_lines(stack: str, env: str, summary: str, details: Sequence[str]) -> list[str]:
    more = [f"and {len(details) - MAX_LINES} more"] if len(details) > MAX_LINES else []
    return [f"kplan: {stack} ({env}): {summary}", *(f"• {detail}" for detail in details[:MAX_LINES]), *more]
