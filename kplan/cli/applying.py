"""What apply and destroy share: the plan, the question, the run."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from kplan.cli import reports
from kplan.cli.command import failed
from kplan.cli.flags import PlanFlags, RunFlags, parse_lock_timeout, parse_seconds, plan_request
from kplan.cli.options import option
from kplan.cli.session import Session, live, now
from kplan.cli.showing import show_plans

if TYPE_CHECKING:
    from kplan.app.apply import ApplyRequest, Work
    from kplan.app.plan import PlanOutcome
    from kplan.diagnostics import KplanError
    from kplan.execution.run import Result, Stop
    from kplan.model.events import Emit
    from kplan.planning.document import Plan
    from kplan.render.events import View
    from kplan.render.text import Context
    from kplan.state.base import Store
FORMAT = option(
    "--format", type=click.Choice(["text", "json"]), default="text", help="Text, or one line of JSON an event."
)


def apply(session: Session, mode: str, planning: PlanFlags, running: RunFlags) -> int:
    """Plan (or take a saved plan), ask, and run. Return the exit code."""
    from kplan.app.apply import apply_work
    from kplan.app.saved import read_documents

    saved = read_documents(session.paths[0]) if mode == "apply" and len(session.paths) == 1 else None
    if saved and planning.given:
        flags = ", ".join(planning.given)
        raise click.UsageError(f"{flags}: a saved plan is applied as it is; give this to `kplan plan --out`")
    request = _apply_request(session, mode, running, bool(saved))
    work = _prepare(session, mode, planning, saved)
    return apply_work(work, request, session.runtime, Terminal(session, mode, request.saved))


def _apply_request(session: Session, mode: str, running: RunFlags, saved: bool) -> ApplyRequest:
    from kplan.app.apply import ApplyRequest

    return ApplyRequest(
        f"kplan {mode} {' '.join(session.paths)}",
        running.on_failure,
        parse_lock_timeout(running.lock_timeout),
        parse_seconds(running.wait_time, "--wait"),
        running.parallel,
        running.yes,
        saved,
    )


def _prepare(session: Session, mode: str, planning: PlanFlags, saved: Sequence[Mapping[str, Any]] | None) -> Work:
    from kplan.app.apply import prepare_saved, prepare_stacks

    if saved:
        return prepare_saved(saved, session.request, session.runtime)
    return prepare_stacks(session.load(), plan_request(planning, mode), session.runtime)


# -- showing and asking -----------------------------------------------------------------------------------------------
def _show(session: Session, plans: Sequence[Plan], seconds: float, mode: str, saved: bool) -> None:
    from dataclasses import replace

    from kplan.planning.document import to_json
    from kplan.text import count

    documents = [to_json(plan) for plan in plans]
    context = session.context(command=mode)
    annotations = reports.publish(session, documents, context)
    if session.as_json:
        for plan, document in zip(plans, documents, strict=True):
            session.show(plan.diagnostics)
            _tell(session, "plan_summary", f"{plan.stack}: {count(len(plan.steps), 'step')}", plan=document)
    elif saved:
        _show_saved(session, plans, documents, context)
    else:
        show_plans(session, plans, documents, replace(context, seconds=seconds))
    reports.annotate(session, annotations)


def _tell(session: Session, type: str, message: str, **more: Any) -> None:
    """A line of JSON that belongs to no run."""
    record = {"type": type, "time": now().strftime("%Y-%m-%dT%H:%M:%SZ"), "level": "info", "message": message, **more}
    session.product(json.dumps(record, ensure_ascii=False))


def _tell_unchanged(session: Session, plans: Sequence[Plan]) -> None:
    """The end of each apply that has nothing to do, as one that ran has it."""
    statistics = {"topics_created": 0, "topic_creation_errors": 0, "retries": 0}
    for plan in plans:
        about = {"outcome": "unchanged", "stack": plan.stack, "left": [], "exit_code": 0, "statistics": statistics}
        _tell(session, "apply_summary", f"{plan.stack}: nothing to do.", **about)


def _show_saved(session: Session, plans: Sequence[Plan], documents: Sequence[dict[str, Any]], context: Context) -> None:
    """Which plans they are; what they say was reviewed when they were made."""
    from kplan.render.many import has_own_page, narrow_context, render_unchanged
    from kplan.render.text import render_header

    for plan, document in zip(plans, documents, strict=True):
        if not has_own_page(document, documents, context):
            continue
        for line in render_header(document, session.style, narrow_context(document, documents, context)):
            session.say(line)
        session.say(f"  plan {plan.digest[7:15]} made {plan.created_at}")
    for line in render_unchanged(documents, session.style, context):
        session.say(line)


def _ask(session: Session, plans: Sequence[Plan]) -> None:
    """Returns when the person typed what was asked for. Raises Declined."""
    from kplan.diagnostics import Declined
    from kplan.text import count

    steps = sum(len(plan.steps) for plan in plans)
    if session.as_json or not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise Declined(
            "there is no terminal to ask on", help="say --yes, or save the plan, review it, and apply the file"
        )
    losing = [p for p in plans for c in p.changes for r in c.risks if r.level == "danger" and r.accepted]
    if losing:
        word, name = f"Type the stack name ({losing[0].stack}) to also do what is dangerous", losing[0].stack
    else:
        word, name = f"Type yes to apply {count(steps, 'step')}", "yes"
    try:
        answer = input(f"\n{word}: ")
    except (EOFError, KeyboardInterrupt):
        answer = ""
        session.say()
    if answer.strip() != name:
        raise Declined("nothing was changed")


# -- running ----------------------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class Terminal:
    """The person at the terminal, or the program that reads lines of JSON: the `ApplyAudience`."""

    session: Session
    mode: str
    saved: bool

    def show_plans(self, outcome: PlanOutcome) -> None:
        _show(self.session, outcome.plans, outcome.seconds, self.mode, self.saved)

    def show_unchanged(self, plans: Sequence[Plan]) -> None:
        if self.session.as_json:
            _tell_unchanged(self.session, plans)

    def confirm(self, plans: Sequence[Plan]) -> None:
        _ask(self.session, plans)

    def start_stack(self, plan: Plan, number: int, count: int) -> None:
        words = f"stack {plan.stack}, {number} of {count}"
        if self.session.as_json:
            _tell(self.session, "stack_started", words, stack=plan.stack)
        else:
            self.session.say(f"\n{self.session.style.paint(words, '1')}")

    def stoppable(self, run: str) -> AbstractContextManager[Stop]:
        return ctrl_c(run)

    @contextmanager
    def watch_run(self, run: str, store: Store, stop: Stop) -> Iterator[Emit]:
        view = view_of(self.session)
        if not self.session.as_json:
            self.session.say()
            self.session.say(f"  run {run}, journaled in {store.where}")
            self.session.say()
        with showing_run(view, stop) as emit:
            yield emit

    def end_run(self, result: Result) -> None:
        self.session.changed = True

    def show_failure(self, failure: KplanError) -> int:
        return failed(failure, self.session)

    def show_ends(self, ends: Mapping[str, tuple[str, str]], exit_code: int) -> None:
        from kplan.render.many import render_outcomes

        first, *lines = render_outcomes(ends)
        if self.session.as_json:
            stacks = [{"stack": s, "outcome": o.replace(" ", "_"), "run": run} for s, (o, run) in ends.items()]
            _tell(self.session, "stacks_summary", first, stacks=stacks, exit_code=exit_code)
            return
        self.session.say()
        for line in (self.session.style.paint(first, "1;31" if exit_code else "32"), *lines):
            self.session.say(line)


@contextmanager
def showing_run(view: View, stop: Stop) -> Iterator[Emit]:
    """Yield what shows a run's events in `view`, which is closed at the end; from then on Ctrl-C does nothing."""
    from kplan.model.events import unbreakable

    try:
        yield unbreakable(view)
    finally:
        stop.over = True
        with suppress(OSError):  # the terminal may be gone
            view.close()


def view_of(session: Session) -> View:
    from kplan.render.events import JsonView, LineView, LiveView

    if session.as_json:
        return JsonView(session.product, now)
    words = session.progress.describe
    if live(sys.stdout) and not session.display.quiet:
        return LiveView(session.style, lambda d: session.show([d]), words)
    return LineView(session.say, session.style, lambda d: session.show([d], stream=sys.stdout), words)


@contextmanager
def ctrl_c(run: str) -> Iterator[Stop]:
    """Once: the running wave is finished and everything put back. Twice: stop where it is.

    Before anything is done it ends the command, and once all is done it does nothing. Under `nohup` the end of the
    terminal stays ignored.
    """
    from kplan.execution.run import Stop

    stop = Stop()

    def say(words: str) -> None:
        with suppress(OSError, RuntimeError):  # the terminal may be gone, or be written to right now
            click.echo(words, err=True)

    def handle(number: int, frame: object) -> None:
        if stop.over:
            return
        if not stop.begun:
            raise KeyboardInterrupt
        if stop.asked:
            say(f"\nstopped. Some steps may be done and not put back:  kplan recover {run}")
            os._exit(8)
        stop.asked = True
        say("\ninterrupted: the running wave is finished, then everything is put back. Again: stop at once.")

    nohup = signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    ends = (signal.SIGINT, signal.SIGTERM, *(() if nohup else (signal.SIGHUP,)))
    old = {number: signal.signal(number, handle) for number in ends}
    try:
        yield stop
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)
