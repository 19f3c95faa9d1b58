"""What apply and destroy share: the plan, the question, the run."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from kplan.cli import reports
from kplan.cli.common import Session, failed, holder, live, now, option, planned, several

if TYPE_CHECKING:
    from kplan.execution.run import Result, Run, Stop
    from kplan.model.events import Emit
    from kplan.planning.document import Plan
    from kplan.planning.trust import Listed
    from kplan.project.environment import Environment
    from kplan.render.events import View
    from kplan.render.text import Context
    from kplan.servers.base import Cluster
    from kplan.state.base import Holder, Store

WAITING_IS_TOLD = 10.0  # seconds between two lines about it
FLAGS = several(
    option("--yes", "-y", is_flag=True, help="Do not ask."),
    option(
        "--on-failure", type=click.Choice(["rollback", "stop"]), default="rollback", help="What a failed step leads to."
    ),
    option(
        "--parallel",
        type=click.IntRange(1, 64),
        default=6,
        show_default=True,
        help="Connectors changed at the same time.",
    ),
    option(
        "--lock-timeout", metavar="TIME", default="0s", help="How long to wait for someone else's apply, such as 60s."
    ),
    option(
        "--wait",
        "wait_time",
        metavar="TIME",
        default="0s",
        help="Wait for Kafka to answer before planning, such as 60s; for Connect too where a connector needs it.",
    ),
    option("--format", type=click.Choice(["text", "json"]), default="text", help="Text, or one line of JSON an event."),
    reports.flag(),
)


def apply(session: Session, mode: str) -> int:
    """Plans (or takes a saved plan), asks, and runs. Returns the exit code; receivers hear why nothing was begun."""
    from kplan.diagnostics import KplanError

    try:
        return _apply(session, mode)
    except KplanError as e:
        if session.receivers is not None and not session.receivers.told:
            session.receivers.refusal(session.stack_names, e)
        raise


def _apply(session: Session, mode: str) -> int:
    saved = _saved(session.settings["paths"]) if mode == "apply" else None
    if saved:
        _refuse_planning_flags(session)
    timeout, patience = _seconds(session, "lock_timeout"), _seconds(session, "wait_time")
    environment, plans = _from_file(session, saved) if saved else _from_stacks(session, mode)
    if patience:
        from kplan.cli.wait import wait_until_ready

        wait_until_ready(session, environment, patience)
    cluster, store = session.open(environment)
    try:
        wait_for_others(session, store, session.stack_names, timeout)
        todo, seconds = plans(cluster, store)
        _show(session, todo, seconds, mode, bool(saved))
        code = max((plan.exit_code for plan in todo), default=0)
        if code:
            session.notifier(environment).plans(todo)
            return code
        waiting = [plan for plan in todo if plan.steps]
        if session.as_json:
            _tell_unchanged(session, [plan for plan in todo if not plan.steps])
        if waiting and not saved and not session.settings["yes"]:
            _ask(session, waiting)
        return Runs(session, environment, cluster, store, mode, bool(saved)).all(waiting)
    finally:
        cluster.close()
        store.close()


def _refuse_planning_flags(session: Session) -> None:
    """A saved plan is applied as it is."""
    flags = {
        "targets": "--target",
        "excluded": "--exclude",
        "replaced": "--replace",
        "accepted": "--accept",
        "drop": "--drop",
    }
    given = [flag for name, flag in flags.items() if session.settings.get(name)]
    given += ["--offline"] if session.settings.get("offline") else []
    if given:
        raise click.UsageError(f"{', '.join(given)}: a saved plan is applied as it is; give this to `kplan plan --out`")


def _seconds(session: Session, setting: str) -> float:
    """The seconds that a flag says. Raises BadParameter."""
    from kplan.language.durations import seconds

    try:
        return seconds(session.settings[setting])
    except ValueError as e:
        raise click.BadParameter(str(e), param_hint="--lock-timeout" if setting == "lock_timeout" else "--wait")


def wait_for_others(session: Session, store: Store, stacks: Iterable[str], timeout: float) -> None:
    """Returns once nobody holds one of the stacks: what is planned meanwhile would be outdated. Raises Locked."""
    import time

    deadline = time.monotonic() + timeout
    with session.showing_progress():
        for stack in stacks:
            _wait_for_other(session, store, stack, deadline)


def _wait_for_other(session: Session, store: Store, stack: str, deadline: float) -> None:
    import time

    from kplan.diagnostics import Locked
    from kplan.servers.waits import WAITS

    other = store.holder(stack)
    if other is None:
        return
    told = time.monotonic()
    what = f"waiting for the lock of stack {stack}, which {other.who} holds"
    with WAITS.on(what, max(0.0, deadline - time.monotonic())):
        while other is not None:
            who = f"{other.who} holds stack {stack} since {other.since}: {other.command} (run {other.run})"
            left = deadline - time.monotonic()
            if left <= 0:
                raise Locked(
                    who,
                    help="wait for it with --lock-timeout 60s; there is no unlock, for the lock ends with its process",
                )
            if time.monotonic() >= told:
                session.note(f"waiting {left:.0f} s for the lock: {who}")
                told = time.monotonic() + WAITING_IS_TOLD
            time.sleep(min(0.5, left))
            other = store.holder(stack)


def _from_stacks(session: Session, mode: str) -> tuple[Environment, Any]:
    from kplan.diagnostics import Invalid
    from kplan.planning.diff import needed
    from kplan.planning.pipeline import not_for_apply

    loaded = session.load()
    unset = [] if mode == "destroy" else [d for stack in loaded.stacks for d in not_for_apply(stack)]
    if loaded.has_errors or unset:
        raise Invalid([*loaded.diagnostics, *unset])
    session.stack_names = [stack.name for stack in loaded.stacks]
    session.notifier(loaded.environment)
    session.needs_connect = any(a.kind == "connector" for stack in loaded.stacks for a in needed(stack, {}))
    return loaded.environment, lambda cluster, store: planned(session, loaded, cluster, store, mode)


# -- saved plans ------------------------------------------------------------------------------------------------------
def _saved(paths: Sequence[str]) -> list[dict[str, Any]] | None:
    """The plans of the file, where a saved plan was named."""
    if len(paths) != 1 or not paths[0].endswith(".json"):
        return None
    from kplan.planning.document import parse
    from kplan.project.reading import read_file

    try:
        return parse(read_file(paths[0]).decode())
    except (OSError, UnicodeDecodeError):
        return None


def _from_file(session: Session, documents: list[dict[str, Any]]) -> tuple[Environment, Any]:
    from dataclasses import replace

    from kplan.diagnostics import Blocked, Stale, codes
    from kplan.planning.document import from_json, secret_names, verify_signatures, with_secrets
    from kplan.project.loading import Request

    plans = [from_json(document) for document in documents]
    verify_signatures(documents, os.environ.get("KPLAN_KEY"))
    _refuse_without_files(plans)
    session.stack_names = [plan.stack for plan in plans]
    session.needs_connect = any(c.address.kind == "connector" for plan in plans for c in plan.changes)
    if len({plan.env for plan in plans}) != 1:
        raise Stale("this file holds plans for several environments", code=codes.K521)
    asked = session.request
    if asked.env and asked.env != plans[0].env:
        raise Stale(f"the plan is for environment {plans[0].env}, not {asked.env}", help="leave --env out")
    for plan in plans:
        if plan.blocked:
            raise Blocked(
                f"the saved plan is blocked: {', '.join(plan.blocked)}",
                help="accept the dangers, then make the plan again",
            )
        if plan.errored:
            raise Blocked("the saved plan has errors", help="correct them, then make the plan again")
    environment = session.load_environment(
        Request(
            (),
            plans[0].env,
            folder=asked.folder,
            bootstrap=asked.bootstrap,
            connect=asked.connect,
            process=asked.process,
        )
    )
    session.notifier(environment)
    key = os.environ.get("KPLAN_KEY")
    for plan in plans:
        _same_files(session, plan, environment)
        if not key:
            session.listed[plan.stack] = partial(_listed, session, plan, environment)
    values = {
        name: asked.flags.get(name, asked.process.get(f"KPLAN_VAR_{name}"))
        for plan in plans
        for name in secret_names(plan)
    }
    values |= declared(session, plans, environment, [n for n, v in values.items() if v is None])
    filled = [with_secrets(plan, values, os.environ.get("KPLAN_KEY")) for plan in with_logins(session, plans)]
    session.mask(replace(environment, secrets=(*environment.secrets, *(v for v in values.values() if v))))
    return environment, lambda cluster, store: (filled, 0.0)


def with_logins(session: Session, plans: Sequence[Plan]) -> list[Plan]:
    """The plans with the logins of what they drop in databases, as far as the variables have values here."""
    from dataclasses import replace

    from kplan.kinds.connector.debezium.drops import secret_names, with_login

    asked = session.request
    names = {name for plan in plans for name in secret_names(plan.changes)}
    values = {name: asked.flags.get(name, asked.process.get(f"KPLAN_VAR_{name}")) for name in names}
    session.secrets.add([value for value in values.values() if value])
    return [
        replace(plan, steps=tuple(replace(s, change=with_login(s.change, values)) for s in plan.steps))
        for plan in plans
    ]


def declared(
    session: Session, plans: Sequence[Plan], environment: Environment, names: Sequence[str]
) -> dict[str, str | None]:
    """Values of sensitive variables that come from their `env:` or the environment, where the stack file is there."""
    if not names:
        return {}
    from kplan.diagnostics import Invalid, codes, error
    from kplan.language import source
    from kplan.language.variables import Given, settle

    found: dict[str, str | None] = {}
    for plan in plans:
        path = Path(environment.folder, plan.files[0].path) if plan.files else None
        if path is None or not path.is_file():
            continue
        document, _ = source.load(path.read_bytes(), str(path))
        if document is not None and isinstance(document.data, dict):
            given = Given(session.request.flags, {}, session.request.process, environment.variables)
            found |= {k: v for k, v in settle(document, given)[0].sensitive.items() if k in names}
    missing = [n for n in names if found.get(n) is None]
    if missing:
        raise Invalid(
            [error(codes.K219, "a sensitive variable has no value", n, help=f"set KPLAN_VAR_{n}") for n in missing]
        )
    return found


def _refuse_without_files(plans: Sequence[Plan]) -> None:
    """Raise Stale for a plan that has steps and names no file that it was made from: kplan writes none like that."""
    from kplan.diagnostics import Stale, codes

    for plan in plans:
        if plan.steps and not plan.files:
            raise Stale(
                f"the plan of stack {plan.stack} has steps and names no file that it was made from",
                code=codes.K522,
                help="make the plan again, and apply the file as it was written",
            )


def _listed(session: Session, plan: Plan, environment: Environment) -> Listed:
    """Return what the stack's own file names; nothing where the file is not here or is another stack's."""
    from dataclasses import replace

    from kplan.diagnostics import KplanError
    from kplan.planning.trust import Listed
    from kplan.project.loading import load

    asked = session.request
    path = Path(environment.folder, plan.files[0].path)
    request = replace(asked, paths=(str(path),), env=plan.env)
    try:
        loaded = load(request) if path.is_file() else None
    except KplanError:
        return Listed()
    stacks = [stack for stack in loaded.stacks if stack.name == plan.stack] if loaded else []
    removed = frozenset(entry.address for stack in stacks for entry in stack.removed if not entry.keep)
    return Listed(frozenset(address for stack in stacks for address in stack.resources), removed)


def _same_files(session: Session, plan: Plan, environment: Environment) -> None:
    """Raises Stale where a file that the plan was made from has changed; says which are not here."""
    import hashlib

    from kplan.diagnostics import Stale

    for file in plan.files:
        path = Path(environment.folder, file.path)
        if not path.is_file():
            session.note(f"  {file.path} is not here; the plan is applied as it was made")
        elif hashlib.sha256(path.read_bytes()).hexdigest() != file.sha256:
            raise Stale(f"{file.path} has changed since the plan was made", help="make the plan again and review it")


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
        session.show_plans(plans, documents, replace(context, seconds=seconds))
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
    from kplan.render.many import is_shown, own, quiet
    from kplan.render.text import header

    for plan, document in zip(plans, documents, strict=True):
        if not is_shown(document, documents, context):
            continue
        for line in header(document, session.style, own(document, documents, context)):
            session.say(line)
        session.say(f"  plan {plan.digest[7:15]} made {plan.created_at}")
    for line in quiet(documents, session.style, context):
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
BEFORE, NOT_BEGUN = "applied before", "not begun"
ENDS = {"rolled_back": "rolled back", "incomplete": "rollback incomplete", "stopped": "stopped"}  # others as they are


@dataclass(slots=True)
class Runs:
    """One stack after the other. `ends` says of each what became of it, in words, and in which run."""

    session: Session
    environment: Environment
    cluster: Cluster
    store: Store
    mode: str
    saved: bool
    ends: dict[str, tuple[str, str]] = field(default_factory=dict)

    def all(self, plans: Sequence[Plan]) -> int:
        """Applies them. One that fails stops the rest, and those that are finished stay; its exit code is returned."""
        if len(plans) < 2:
            return self._run(plans[0]) if plans else 0
        self.ends = {plan.stack: (NOT_BEGUN, "") for plan in plans}
        code = 0
        left = self._left(plans)
        for number, plan in enumerate(left, 1):
            self._begun(plan, f"stack {plan.stack}, {number} of {len(left)}")
            code = self._tried(plan)
            if code:
                break
        self._told(code)
        return code

    def _left(self, plans: Sequence[Plan]) -> list[Plan]:
        """Without those of a saved file that were applied before: one that failed on its way is taken up again.

        Raises Stale, as of a single plan, where all were.
        """
        from kplan.execution.apply import applied, refuse_applied

        before = applied(self.store, plans) if self.saved else {}
        if len(before) == len(plans):
            refuse_applied(plans[0], before)
        self.ends |= {stack: (BEFORE, run) for stack, run in before.items()}
        return [plan for plan in plans if plan.stack not in before]

    def _begun(self, plan: Plan, said: str) -> None:
        if self.session.as_json:
            _tell(self.session, "stack_started", said, stack=plan.stack)
        else:
            self.session.say(f"\n{self.session.style.paint(said, '1')}")

    def _tried(self, plan: Plan) -> int:
        from kplan.diagnostics import KplanError

        try:
            return self._run(plan)
        except KplanError as e:
            self.ends[plan.stack] = ("interrupted" if e.exit_code in (7, 8) else "refused", "")
            return failed(e, self.session)

    def _run(self, plan: Plan) -> int:
        me = holder(f"kplan {self.mode} {' '.join(self.session.settings['paths'])}")
        run = Running(self.session, self.environment, plan, me)
        with ctrl_c(me.run) as stop:
            result = run.ended(lambda: _run(run, self.cluster, self.store, self.saved, stop))
        self.ends[plan.stack] = (ENDS.get(result.outcome, result.outcome), me.run)
        self.session.changed = True
        return result.exit_code

    def _told(self, code: int) -> None:
        from kplan.render.many import ended

        first, *lines = ended(self.ends)
        if self.session.as_json:
            stacks = [{"stack": s, "outcome": o.replace(" ", "_"), "run": run} for s, (o, run) in self.ends.items()]
            _tell(self.session, "stacks_summary", first, stacks=stacks, exit_code=code)
            return
        self.session.say()
        for line in (self.session.style.paint(first, "1;31" if code else "32"), *lines):
            self.session.say(line)


@dataclass(frozen=True, slots=True)
class Running:
    """A run of the command line, whose end is told to the environment's receivers."""

    session: Session
    environment: Environment
    plan: Plan
    holder: Holder

    def run(self, cluster: Cluster, store: Store, emit: Emit, stop: Stop) -> Run:
        """The plan, ready to go its way."""
        from kplan.execution.apply import prepare_run

        return prepare_run(self.plan, self.environment, cluster, store, self.holder, emit, stop, now)

    def ended(self, work: Callable[[], Result]) -> Result:
        """What `work` returns or raises, and everybody who wants to hear of it is told."""
        return self.session.notifier(self.environment).run(self.plan, self.holder.run, work)


def _run(running: Running, cluster: Cluster, store: Store, saved: bool, stop: Stop) -> Result:
    from kplan.execution.apply import Apply
    from kplan.model.events import unbreakable

    session, me = running.session, running.holder
    timeout = _seconds(session, "lock_timeout")
    view = view_of(session)
    if not session.as_json:
        session.say()
        session.say(f"  run {me.run}, journaled in {store.where}")
        session.say()
    run = running.run(cluster, store, unbreakable(view), stop)
    listed = session.listed.get(running.plan.stack)
    try:
        return Apply(run, session.settings["on_failure"], saved, listed).within(timeout)
    finally:
        stop.over = True
        with suppress(OSError):  # the terminal may be gone
            view.close()


def view_of(session: Session) -> View:
    from kplan.render.events import JsonView, LineView, LiveView

    if session.as_json:
        return JsonView(session.product, now)
    words = session.progress.words
    if live(sys.stdout) and not session.settings.get("quiet"):
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
