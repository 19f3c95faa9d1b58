"""Notify receivers (webhooks, in the form that Slack takes) of how a run ended or why it could not begin, and of
drift."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import urlsplit

from kplan.project.environment import Receiver
from kplan.values import dataclass

if TYPE_CHECKING:
    from kplan.diagnostics import KplanError
    from kplan.execution.run import Result
    from kplan.model import Address
    from kplan.planning.document import Plan

REQUEST_TIMEOUT_S = 10.0  # for one receiver


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


def list_failure(address: Address | None, error: KplanError | None) -> dict[str, str] | None:
    """Return what failed, with its code and its cause."""
    if error is None:
        return None
    return {"address": str(address or ""), "code": error.code, "cause": error.message}


# -- what receivers are notified of: `kplan.render.messages` writes it -------------------------------------------------
@dataclass(frozen=True, slots=True)
class RunNotice:
    """How a run ended; `summary` is its last sentence, without it the outcome alone is known."""

    stack: str
    run: str
    outcome: str
    summary: str
    left: Sequence[str] = ()
    failed: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True)
class NotBegunNotice:
    """Why nothing was applied; without a `cause` the plan has errors, which are the `problems`."""

    stacks: Sequence[str]
    outcome: str
    cause: str
    problems: Sequence[str] = ()
    failed: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True)
class BlockedNotice:
    """The dangers that block a plan."""

    stack: str
    dangers: Sequence[str]
    outcome: str = "blocked"


@dataclass(frozen=True, slots=True)
class HealthNotice:
    """Connectors that failed (a line for each), or that run again (their names)."""

    stacks: Sequence[str]
    connectors: Sequence[str]
    has_failed: bool


@dataclass(frozen=True, slots=True)
class OutageNotice:
    """Why nothing is known of the stacks: a server does not answer. Without a cause it does again."""

    stacks: Sequence[str]
    cause: str


@dataclass(frozen=True, slots=True)
class DriftNotice:
    """What differs from the last apply: a summary, and a line for each resource; none where the drift is over."""

    stack: str
    summary: str
    drift: Sequence[str]


Notice = RunNotice | NotBegunNotice | BlockedNotice | HealthNotice | OutageNotice | DriftNotice


@dataclass(frozen=True, slots=True)
class Undelivered:
    """What became of a notice that a receiver did not take: the error's name, or the status of its answer."""

    host: str
    error: str = ""
    status: int = 0


class MessageWriter(Protocol):
    """Write notices for people and programs (`kplan.render.messages`)."""

    def write_message(self, notice: Notice, env: str) -> dict[str, Any]:
        """Return the JSON that is posted."""

    def describe_undelivered(self, notice: Notice, lost: Undelivered) -> str:
        """Return the warning that a receiver did not take the notice."""


# -- notifying --------------------------------------------------------------------------------------------------------
@dataclass(slots=True)
class Notifier:
    """Notify the receivers of one environment, without secrets; `warn` gets what did not arrive.

    `has_notified`: receivers were notified of the error that is being raised.
    """

    receivers: Sequence[Receiver]
    env: str
    mask: Callable[[str], str]
    warn: Callable[[str], object]
    writer: MessageWriter
    has_notified: bool = False

    def run_and_notify(self, plan: Plan, run: str, work: Callable[[], Result]) -> Result:
        """Return or raise what `work` does, and notify how the run ended, or why it did not begin."""
        from kplan.diagnostics import KplanError

        try:
            result = work()
        except KplanError as e:
            if e.exit_code in (7, 8):
                self._notify_run(RunNotice(plan.stack, run, "incomplete", e.message, (), list_failure(None, e)))
            else:
                self.notify_refusal([plan.stack], e)
            self.has_notified = True
            raise
        failed = list_failure(result.failed, result.error)
        self._notify_run(RunNotice(plan.stack, run, result.outcome, result.said, result.left, failed))
        return result

    def notify_refusal(self, stacks: Sequence[str], error: KplanError) -> None:
        """Notify why an apply could not begin. That a person declined is not a failure."""
        from kplan.diagnostics import Blocked, Declined, Interrupted, Invalid

        if isinstance(error, Declined | Interrupted):
            return
        outcome = "blocked" if isinstance(error, Blocked) else "not_begun"
        problems = [str(each) for each in error.diagnostics if each.is_error] if isinstance(error, Invalid) else []
        self._notify_run(NotBegunNotice(stacks, outcome, error.message, problems, list_failure(None, error)))

    def notify_unusable(self, plans: Sequence[Plan]) -> None:
        """Notify of plans that cannot be applied: they have errors, or dangers that are not accepted."""
        for plan in plans:
            problems = [diagnostic for diagnostic in plan.diagnostics if diagnostic.is_error]
            if plan.errored:
                first = problems[0]
                about = {"address": first.address, "code": first.code, "cause": first.detail or first.summary}
                self._notify_run(NotBegunNotice([plan.stack], "not_begun", "", list(map(str, problems)), about))
            elif plan.exit_code:
                self.notify_blocked([plan])

    def notify_blocked(self, plans: Sequence[Plan]) -> None:
        """Notify of plans that dangers, `protect`, `max_changes` or policies block."""
        for plan in plans:
            if plan.blocked and not plan.errored:
                self._notify_run(BlockedNotice(plan.stack, plan.blocked))

    def notify_health(self, stacks: Sequence[str], failed: Sequence[str], recovered: Sequence[str]) -> None:
        """Notify of connectors that are FAILED (a line for each), and of those that run again (their names)."""
        for has_failed, connectors in ((True, failed), (False, recovered)):
            if connectors:
                self._notify(HealthNotice(stacks, connectors, has_failed), {"health"})

    def notify_outage(self, notice: OutageNotice) -> None:
        """Notify that servers do not answer, or answer again."""
        self._notify(notice, {"health"})

    def notify_drift(self, notice: DriftNotice) -> None:
        """Notify of the drift of one stack."""
        self._notify(notice, {"drift"})

    def _notify_run(self, notice: RunNotice | NotBegunNotice | BlockedNotice) -> None:
        if triggers := list_triggers(notice.outcome):
            self._notify(notice, triggers)

    def _notify(self, notice: Notice, triggers: Collection[str]) -> None:
        if not self.receivers:
            return
        body = self.writer.write_message(mask_notice(notice, self.mask), self.env)
        for lost in post_to_receivers(self.receivers, triggers, body):
            self.warn(self.writer.describe_undelivered(notice, lost))


def mask_notice(notice: Notice, mask: Callable[[str], str]) -> Notice:
    """Return the notice without secrets."""
    match notice:
        case RunNotice():
            left = list(map(mask, notice.left))
            return replace(notice, summary=mask(notice.summary), left=left, failed=_mask_values(notice.failed, mask))
        case NotBegunNotice():
            problems = list(map(mask, notice.problems))
            failed = _mask_values(notice.failed, mask)
            return replace(notice, cause=mask(notice.cause), problems=problems, failed=failed)
        case BlockedNotice():
            return replace(notice, dangers=list(map(mask, notice.dangers)))
        case HealthNotice():
            return replace(notice, connectors=list(map(mask, notice.connectors)))
        case OutageNotice():
            return replace(notice, cause=mask(notice.cause))
        case DriftNotice():
            return replace(notice, drift=list(map(mask, notice.drift)))


def _mask_values(failed: Mapping[str, str] | None, mask: Callable[[str], str]) -> Mapping[str, str] | None:
    return {key: mask(value) for key, value in failed.items()} if failed else None


def post_to_receivers(
    receivers: Sequence[Receiver], triggers: Collection[str], body: Mapping[str, Any]
) -> list[Undelivered]:
    """Post to the receivers with one of the triggers. Return which were not reached, without the URL's path, which
    often is a secret."""
    import requests

    from kplan.servers.http_limits import MIB, create_limited_session

    undelivered = []
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
            undelivered.append(Undelivered(host, type(e).__name__))
            continue
        if answer.status_code >= 300:
            undelivered.append(Undelivered(host, status=answer.status_code))
    return undelivered
