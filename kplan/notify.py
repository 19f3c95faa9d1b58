"""Tells receivers (webhooks, in the form that Slack takes) how a run ended, and that something drifted."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from kplan.environment import Receiver

if TYPE_CHECKING:
    from kplan.diagnostics import KplanError
    from kplan.model import Address
    from kplan.plan import Plan

SECONDS = 10.0  # for one receiver
MOST_LEFT = 20  # differences in one message


def ends(outcome: str) -> frozenset[str]:
    """What kinds of end an outcome is; an apply that succeeds is none of them."""
    return {
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
    if failed and failed["cause"] != said:
        lines.insert(1, ": ".join(filter(None, [failed["address"], f"{failed['code']} {failed['cause']}".strip()])))
    if outcome == "incomplete":
        lines.append(f"kplan recover {run}")
    about: dict[str, Any] = {"stack": stack, "env": env, "run": run, "outcome": outcome, "left": list(left)}
    about |= {"failed": dict(failed)} if failed else {}
    return {"text": "\n".join(lines), "kplan": about}


def _lines(stack: str, env: str, said: str, each: Sequence[str]) -> list[str]:
    more = [f"and {len(each) - MOST_LEFT} more"] if len(each) > MOST_LEFT else []
    return [f"kplan: {stack} ({env}): {said}", *(f"• {one}" for one in each[:MOST_LEFT]), *more]


def tell_drift(to: Sequence[Receiver], stack: str, env: str, said: str, drift: Sequence[str]) -> list[str]:
    """Everybody who wants to hear of drift is told, in words without secrets; what did not arrive."""
    if not to:
        return []
    about = {"stack": stack, "env": env, "outcome": "drift", "drift": list(drift)}
    body = {"text": "\n".join(_lines(stack, env, said, drift)), "kplan": about}
    return send(to, {"drift"}, body, "of the drift")


def tell(
    to: Sequence[Receiver],
    plan: Plan,
    run: str,
    outcome: str,
    said: str,
    left: Sequence[str],
    mask: Callable[[str], str],
    warn: Callable[[str], object],
    failed: Mapping[str, str] | None = None,
) -> None:
    """Everybody who wants to hear of this end of a run is told, without secrets; `warn` gets what did not arrive."""
    if not (of := ends(outcome)) or not to:
        return
    body = message(plan.stack, plan.env, run, outcome, mask(said), [mask(each) for each in left],
                   {key: mask(value) for key, value in failed.items()} if failed else None)  # fmt: skip
    for problem in send(to, of, body):
        warn(problem)


def send(
    to: Sequence[Receiver], of: Collection[str], body: Mapping[str, Any], what: str = "how the run ended"
) -> list[str]:
    """Posts to all that want it; why it did not get there, in words without the URL's path, which often is a secret."""
    import requests

    from kplan.http_limits import MIB, limited_session

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
