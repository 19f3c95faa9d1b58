"""What apply and destroy share: the plan, the question, the run."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import TYPE_CHECKING, Any

import click

from kplan.cli import reports
from kplan.cli.asking import ask
from kplan.cli.command import report_failure
from kplan.cli.flags import PlanFlags, RunFlags, make_plan_request, parse_lock_timeout, parse_seconds
from kplan.cli.options import option
from kplan.cli.session import Session, current_time, is_live_terminal
from kplan.cli.showing import show_plans
from kplan.values import dataclass

if TYPE_CHECKING:
    from kplan.app.opening import OpenEnvironment
    from kplan.app.plan import PlanOutcome
    from kplan.diagnostics import KplanError
    from kplan.execution.run import Result, Stop
    from kplan.model.events import Emit
    from kplan.planning.document import Plan
    from kplan.project.loading import Loaded
    from kplan.render.events import View
    from kplan.render.text import Context
    from kplan.state.base import Store
FORMAT = option(
    "--format", type=click.Choice(["text", "json"]), default="text", help="Text, or one JSON line per event."
)


def apply(session: Session, mode: str, planning: PlanFlags, running: RunFlags) -> int:
    """Plan (or take a saved plan), ask, and run. Return the exit code."""
    planned = make_plan_request(planning, mode)
    lock_timeout, wait = parse_lock_timeout(running.lock_timeout), parse_seconds(running.wait_time, "--wait")
    saved = _read_saved(session, planning) if mode == "apply" else None
    command = " ".join(("kplan", mode, *session.paths))
    loaded, opened = _load(session, running, command, asks_early=not wait) if saved is None else (None, None)
    # The servers are answering by now, and meanwhile the rest is imported.
    from kplan.app.apply import ApplyRequest, apply_work, prepare_saved, prepare_stacks

    is_saved = saved is not None
    request = ApplyRequest(command, running.on_failure, lock_timeout, wait, running.parallel, running.yes, is_saved)
    if loaded is None:
        work = prepare_saved(saved or (), session.request, session.runtime)
    else:
        work = prepare_stacks(loaded, planned, session.runtime, opened)
    return apply_work(work, request, session.runtime, Terminal(session, mode, is_saved))


def _read_saved(session: Session, planning: PlanFlags) -> Sequence[Mapping[str, Any]] | None:
    """Return the plans of the only file, where it has some. Raises UsageError for flags that they do not take."""
    if len(session.paths) != 1 or session.paths[0].endswith((".yaml", ".yml")):
        return None
    from kplan.app.saved import read_documents

    saved = read_documents(session.paths[0]) or None
    if saved and planning.flags_set:
        flags = ", ".join(planning.flags_set)
        raise click.UsageError(f"{flags}: a saved plan is applied unchanged; pass this to `kplan plan --out`")
    return saved


def _load(session: Session, running: RunFlags, command: str, asks_early: bool) -> tuple[Loaded, OpenEnvironment | None]:
    """Load the stacks; with `asks_early` the servers are asked meanwhile."""
    if not asks_early:
        return session.load(), None
    from kplan.app.load import load_and_begin

    confirmed = command if running.yes else ""
    loaded, opened = load_and_begin(session.request, session.runtime, running.parallel, confirmed)
    session.remember(loaded)
    return loaded, opened


# -- showing and asking -----------------------------------------------------------------------------------------------
def _show_before_run(session: Session, plans: Sequence[Plan], seconds: float, mode: str, saved: bool) -> None:
    """Show the plans before the question, and write their reports."""
    from dataclasses import replace

    from kplan.planning.document import to_json
    from kplan.text import count

    documents = [to_json(plan) for plan in plans]
    context = session.context(command=mode)
    annotations = reports.publish(session, documents, context)
    if session.as_json:
        for plan, document in zip(plans, documents, strict=True):
            session.show(plan.diagnostics)
            _write_event(session, "plan_summary", f"{plan.stack}: {count(len(plan.steps), 'step')}", plan=document)
    elif saved:
        _show_saved(session, plans, documents, context)
    else:
        show_plans(session, plans, documents, replace(context, seconds=seconds))
    reports.annotate(session, annotations)


def _write_event(session: Session, type: str, message: str, **details: Any) -> None:
    """Write a line of JSON that belongs to no run."""
    record = {
        "type": type,
        "time": current_time().strftime("%Y-%m-%dT%H:%M:%SZ"),
        "level": "info",
        "message": message,
        **details,
    }
    session.write_product(json.dumps(record, ensure_ascii=False))


def _write_unchanged(session: Session, plans: Sequence[Plan]) -> None:
    """Write the end of each apply that has nothing to do, as one that ran has it."""
    from kplan.kinds.statistics import make_statistics

    statistics = make_statistics((), (), 0)
    for plan in plans:
        summary = {"outcome": "unchanged", "stack": plan.stack, "left": [], "exit_code": 0, "statistics": statistics}
        _write_event(session, "apply_summary", f"{plan.stack}: nothing to do.", **summary)


def _show_saved(session: Session, plans: Sequence[Plan], documents: Sequence[dict[str, Any]], context: Context) -> None:
    """Show which plans they are; their contents were reviewed when they were made."""
    from kplan.render.many import has_own_page, narrow_context, render_unchanged
    from kplan.render.text import render_header

    for plan, document in zip(plans, documents, strict=True):
        if not has_own_page(document, documents, context):
            continue
        for line in render_header(document, session.style, narrow_context(document, documents, context)):
            session.say(line)
        session.say(f"  plan {plan.digest[7:15]} made {plan.created_at}")
    if problems := [problem for plan in plans for problem in plan.diagnostics if problem.is_error]:
        session.show(problems, closing="Nothing was changed.")  # policies deny it here
    for line in render_unchanged(documents, session.style, context):
        session.say(line)


def _name_place(plan: Plan) -> str:
    """Return the environment with its brokers: `prod (kafka:9092)`."""
    where = plan.target.bootstrap or plan.target.connect_url
    return f"{plan.env} ({where})" if where and not plan.target.simulated else plan.env


def _confirm(session: Session, plans: Sequence[Plan]) -> None:
    """Return when the user typed what was asked for. Raises Declined."""
    from kplan.text import count

    steps = sum(len(plan.steps) for plan in plans)
    place = _name_place(plans[0])
    help = "use --yes, or save the plan, review it, and apply the file"
    dangerous = [p for p in plans for c in p.changes for r in c.risks if r.level == "danger" and r.accepted]
    if dangerous:
        stack = dangerous[0].stack
        request = f"This plan includes accepted dangers. Type the stack's name ({stack}) to apply it to {place}"
        ask(session, request, stack, help=help)
    else:
        ask(session, f"Type yes to apply {count(steps, 'step')} to {place}", help=help)


# -- running ----------------------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class Terminal:
    """The user at the terminal, or the program that reads lines of JSON: the `ApplyAudience`."""

    session: Session
    mode: str
    saved: bool

    def show_plans(self, outcome: PlanOutcome) -> None:
        _show_before_run(self.session, outcome.plans, outcome.seconds, self.mode, self.saved)

    def show_unchanged(self, plans: Sequence[Plan]) -> None:
        if self.session.as_json:
            _write_unchanged(self.session, plans)

    def confirm(self, plans: Sequence[Plan]) -> None:
        _confirm(self.session, plans)

    def start_stack(self, plan: Plan, number: int, count: int) -> None:
        message = f"stack {plan.stack}, {number} of {count}"
        if self.session.as_json:
            _write_event(self.session, "stack_started", message, stack=plan.stack)
        else:
            self.session.say(f"\n{self.session.style.paint(message, '1')}")

    def stoppable(self, run: str) -> AbstractContextManager[Stop]:
        return handle_ctrl_c(run)

    @contextmanager
    def watch_run(self, run: str, store: Store, stop: Stop) -> Iterator[Emit]:
        view = create_view(self.session)
        if not self.session.as_json:
            self.session.say()
            self.session.say(f"  run {run}, journaled in {store.where}")
            self.session.say()
        with show_run(view, stop) as emit:
            yield emit

    def end_run(self, result: Result) -> None:
        self.session.changed = True

    def show_failure(self, failure: KplanError) -> int:
        return report_failure(failure, self.session)

    def show_ends(self, ends: Mapping[str, tuple[str, str]], exit_code: int) -> None:
        from kplan.render.many import render_outcomes

        first, *lines = render_outcomes(ends)
        if self.session.as_json:
            stacks = [{"stack": s, "outcome": o.replace(" ", "_"), "run": run} for s, (o, run) in ends.items()]
            _write_event(self.session, "stacks_summary", first, stacks=stacks, exit_code=exit_code)
            return
        self.session.say()
        for line in (self.session.style.paint(first, "1;31" if exit_code else "32"), *lines):
            self.session.say(line)


@contextmanager
def show_run(view: View, stop: Stop) -> Iterator[Emit]:
    """Yield what shows a run's events in `view`; close the view at the end and ignore Ctrl-C from then on."""
    from kplan.model.events import unbreakable

    try:
        yield unbreakable(view)
    finally:
        stop.over = True
        with suppress(OSError):  # the terminal may be gone
            view.close()


def create_view(session: Session) -> View:
    """Return the view of a run's events that fits the flags and the terminal."""
    from kplan.render.events import JsonView, LineView, LiveView

    if session.as_json:
        return JsonView(session.write_product, current_time)
    wait_words = session.progress.describe
    if is_live_terminal(sys.stdout) and not session.display.quiet:
        return LiveView(session.style, lambda d: session.show([d]), wait_words)
    return LineView(session.say, session.style, lambda d: session.show([d], stream=sys.stdout), wait_words)


@contextmanager
def handle_ctrl_c(run: str) -> Iterator[Stop]:
    """Handle Ctrl-C. First: finish the running wave and restore everything. Second: stop immediately.

    Before the first change it ends the command, and after the last one it does nothing. Under `nohup` the end of the
    terminal is still ignored.
    """
    from kplan.execution.run import Stop

    stop = Stop()

    def write_to_stderr(words: str) -> None:
        with suppress(OSError, RuntimeError):  # the terminal may be gone, or be written to right now
            click.echo(words, err=True)

    def handle_signal(number: int, frame: object) -> None:
        if stop.over:
            return
        if not stop.begun:
            raise KeyboardInterrupt
        if stop.asked:
            write_to_stderr(f"\nStopped. Some steps may be done and not rolled back:  kplan recover {run}")
            os._exit(8)
        stop.asked = True
        write_to_stderr(
            "\nInterrupted: finishing the running wave, then rolling everything back. Ctrl-C again stops at once."
        )

    has_nohup = signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    signals = (signal.SIGINT, signal.SIGTERM, *(() if has_nohup else (signal.SIGHUP,)))
    previous_handlers = {number: signal.signal(number, handle_signal) for number in signals}
    try:
        yield stop
    finally:
        for number, handler in previous_handlers.items():
            signal.signal(number, handler)
