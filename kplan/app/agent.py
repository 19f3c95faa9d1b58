"""Look again and again: status and drift of all stacks, what to notify of, and configs that may be put back."""

from __future__ import annotations

import gc
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from kplan.app.apply import ApplyRequest, run_plan
from kplan.app.drift import find_drift, make_drift_notice
from kplan.app.load import refuse_errors
from kplan.app.opening import open_environment
from kplan.app.plan import PlanRequest, plan_stacks, refuse_unplannable
from kplan.app.status import read_status, restart_failed
from kplan.diagnostics import KplanError, Locked
from kplan.execution.notify import DriftNotice, OutageNotice
from kplan.execution.run import Stop
from kplan.inspect.status import ERROR, FailedConnectors, Restarts
from kplan.inspect.watch import (
    ACTIVE,
    FAILED,
    STANDBY,
    DriftMemory,
    HealingPauses,
    Watched,
    find_healable,
    find_obstacle_to_healing,
)
from kplan.values import dataclass

if TYPE_CHECKING:
    from kplan.app.opening import OpenEnvironment
    from kplan.app.runtime import Runtime
    from kplan.execution.notify import Notifier
    from kplan.inspect.drift import DriftReport
    from kplan.model import Address
    from kplan.project.environment import Environment
    from kplan.project.loading import Loaded
    from kplan.state.base import Holder

STALE_INTERVALS: Final = 3  # after so many without a reading, and GRACE_S, the loop hangs
GRACE_S: Final = 120.0
READINGS_TO_COLLECT: Final = 10


@dataclass(frozen=True, slots=True)
class AgentRequest:
    """How to watch. `interval` is in seconds; of several agents of one `name` on an environment, one watches.

    `readings` is how often to read, 0 without an end.
    """

    name: str = "default"
    interval: float = 60.0
    heals_config: bool = False
    readings: int = 0

    @property
    def lock_name(self) -> str:
        """Return the name of its lock, which no stack can have."""
        return f"agent.{self.name}"


class Agent:
    """Watch the stacks that `load` returns. A server that does not answer, or a file with errors, ends nothing."""

    def __init__(self, request: AgentRequest, load: Callable[[], Loaded], runtime: Runtime) -> None:
        self.request = request
        self.seen = Watched()
        self._began = runtime.now().timestamp()
        self._load = load
        self._runtime = runtime
        self._loaded: Loaded | None = None
        self._opened: OpenEnvironment | None = None
        self._lock: ExitStack | None = None
        self._holder: Holder | None = None
        self._last_run = ""  # that of the lock that it had last
        self._is_locked_by_itself = False  # brokers keep a lock whose connection ended for its session's time
        self._failed = FailedConnectors()
        self._restarts = Restarts()
        self._memory = DriftMemory()
        self._pauses = HealingPauses(request.interval)
        self._outage = ""  # why servers do not answer
        self._noted: dict[str, str] = {}  # the last note about each subject

    def run(self, stop: threading.Event) -> None:
        """Read until `stop` is set, or as often as the request says. Raises Invalid where nothing can be loaded."""
        self._loaded = self._load_valid()
        number = 0
        try:
            while not stop.is_set():
                started = time.monotonic()
                self.read_once()
                number += 1
                if number == self.request.readings:
                    return
                if number % READINGS_TO_COLLECT == 0:
                    gc.collect()  # what a reading leaves refers to itself, and Python seldom looks at old objects
                stop.wait(max(0.0, self.request.interval - (time.monotonic() - started)))
        finally:
            self.close()

    def is_alive(self, now: float) -> bool:
        """Return whether it has read lately, or only just begun; `now` is in seconds since 1970."""
        return now - (self.seen.read_at or self._began) < STALE_INTERVALS * self.request.interval + GRACE_S

    def close(self) -> None:
        """Give up the lock, and close the connections."""
        self._release()
        if self._opened is not None:
            self._opened.__exit__(None, None, None)
            self._opened = None

    # -- one reading --------------------------------------------------------------------------------------------------
    def read_once(self) -> None:
        """Read status and drift, notify of what is new, and put back what may be; every error is a part of it."""
        started = time.monotonic()
        try:
            phase = self._read()
            self._note_once("error", "")
        except KplanError as e:
            phase = FAILED
            self._observe(drift=())  # it is not known
            self._note_once("error", e.message)
        readings = {**self.seen.readings, phase: self.seen.readings.get(phase, 0) + 1}
        seconds = time.monotonic() - started
        at = self._runtime.now().timestamp()
        self._observe(phase=phase, read_at=at, seconds=seconds, readings=readings)

    def _read(self) -> str:
        loaded = self._reload()
        opened = self._open(loaded.environment)
        self._observe(env=loaded.environment.name, stacks=tuple(stack.name for stack in loaded.stacks))
        notifier = self._runtime.notifier(loaded.environment)
        try:
            if not self._hold(opened):
                if not self._is_locked_by_itself:
                    self._update_outage(notifier, "")
                self._observe(status=None, drift=())
                return STANDBY
            status = read_status(loaded, opened, self._runtime)
            if status["status"] == ERROR:
                raise KplanError(str(status["cause"]))
        except KplanError as e:
            self._update_outage(notifier, e.message)
            self.close()  # librdkafka's client of before an outage asks groups for as long as its timeouts allow
            raise
        self._update_outage(notifier, "")
        self._observe(status=status)
        notifier.notify_health(self.seen.stacks, *self._failed.update(status))
        self._restart(loaded, opened, status)
        self._compare(loaded, opened, notifier)
        return ACTIVE

    def _observe(self, **values: Any) -> None:
        self.seen = replace(self.seen, **values)

    def _note_once(self, subject: str, text: str) -> None:
        """Note what is new about a subject; the same text again is not."""
        if text and self._noted.get(subject) != text:
            self._runtime.note(f"{self._runtime.timestamp} {self._runtime.mask.mask(text)}")
        self._noted[subject] = text

    def _update_outage(self, notifier: Notifier, cause: str) -> None:
        """Notify when servers no longer answer, with the cause, and without one when they do again."""
        before, self._outage = self._outage, cause
        if bool(before) != bool(cause) and self._lock is not None:
            notifier.notify_outage(OutageNotice(self.seen.stacks, cause))
        if cause:
            self._observe(status=None, drift=())
        elif before:
            self._runtime.note(f"{self._runtime.timestamp} the servers answer again")

    # -- files and servers --------------------------------------------------------------------------------------------
    def _load_valid(self) -> Loaded:
        loaded = self._load()
        refuse_errors(loaded)
        return loaded

    def _reload(self) -> Loaded:
        """Return the stacks as the files are now; those of before where the files have errors."""
        try:
            self._loaded = self._load_valid()
        except KplanError as e:
            assert self._loaded is not None
            self._note_once("files", f"the files cannot be loaded, and what they were before counts: {e.message}")
            self._observe(files_are_valid=False)
        else:
            self._note_once("files", "")
            self._observe(files_are_valid=True)
        return self._loaded

    def _open(self, environment: Environment) -> OpenEnvironment:
        """Return the open environment, opened again where kplan.yaml says something else now."""
        if self._opened is not None and self._opened.environment != environment:
            self.close()
        if self._opened is None:
            self._opened = open_environment(environment, self._runtime)
        return self._opened

    def _hold(self, opened: OpenEnvironment) -> bool:
        """Return whether this agent has the lock; take it where it is free, and notice where it was lost."""
        name = self.request.lock_name
        if self._lock is not None and self._holder is not None:
            holder = opened.store.holder(name)
            if holder is not None and holder.run == self._holder.run:
                return True
            self._note_once("lock", "the lock was lost")
            self._release()
        own = self._runtime.holder("kplan agent")
        entered = ExitStack()
        lock: AbstractContextManager[object] = opened.store.lock(name, own, 0.0)
        try:
            entered.enter_context(lock)
        except Locked as e:
            holder = opened.store.holder(name)
            self._is_locked_by_itself = holder is not None and holder.run == self._last_run
            reason = "this agent's former lock ends soon" if self._is_locked_by_itself else "another agent watches"
            self._note_once("lock", f"waiting: {reason}: {e.message}")
            return False
        self._lock, self._holder, self._last_run = entered, own, own.run
        self._note_once("lock", f"watching {', '.join(self.seen.stacks)} in {opened.environment.name}")
        return True

    def _release(self) -> None:
        if self._lock is not None:
            entered, self._lock, self._holder = self._lock, None, None
            try:
                entered.close()
            except KplanError as e:
                self._note_once("lock", f"the lock could not be released: {e.message}")

    # -- what is done -------------------------------------------------------------------------------------------------
    def _restart(self, loaded: Loaded, opened: OpenEnvironment, status: Mapping[str, Any]) -> None:
        for address, attempt in self._restarts.find_due(loaded.stacks, status, time.monotonic()):
            restart_failed(opened, address, attempt, self._runtime)
            name = str(address)
            self._observe(restarts={**self.seen.restarts, name: self.seen.restarts.get(name, 0) + 1})

    def _compare(self, loaded: Loaded, opened: OpenEnvironment, notifier: Notifier) -> None:
        reports = find_drift(loaded, opened, self._runtime).stacks
        self._observe(drift=reports)
        changed, settled = self._memory.update(reports)
        for report in changed:
            notice = make_drift_notice(report)
            notifier.notify_drift(notice)
            self._runtime.note(f"{self._runtime.timestamp} {report.stack}: {notice.summary}")
        for stack in settled:
            notifier.notify_drift(DriftNotice(stack, "the drift is over.", ()))
            self._runtime.note(f"{self._runtime.timestamp} {stack}: the drift is over.")
        if self.request.heals_config:
            now = time.monotonic()
            self._pauses.forget_settled((d.drift.address for report in reports for d in report.drift), now)
            for report in reports:
                self._heal(report, loaded, opened, notifier)

    def _heal(self, report: DriftReport, loaded: Loaded, opened: OpenEnvironment, notifier: Notifier) -> None:
        """Put the configs of a stack back that may be, through the journal and under the lock of the stack."""
        healable = find_healable(report)
        due = self._pauses.find_due(healable, time.monotonic())
        if not due:
            return
        stack = next(each for each in loaded.stacks if each.name == report.stack)
        request = PlanRequest(targets=tuple(map(str, due)), checks_logins=False)
        try:
            refuse_unplannable(loaded, [stack], request)
            [plan] = plan_stacks(loaded, [stack], request, opened, self._runtime).plans
            if not plan.steps and not plan.errored:  # somebody else was faster
                return
            if obstacle := find_obstacle_to_healing(plan, {address: healable[address] for address in due}):
                self._refuse_healing(report.stack, due, obstacle)
                return
            holder = self._runtime.holder("kplan agent --heal config")
            apply = ApplyRequest(holder.command)
            result = notifier.run_and_notify(
                plan,
                holder.run,
                lambda: run_plan(plan, opened, apply, self._runtime, holder, lambda event: None, Stop()),
            )
        except KplanError as e:
            self._refuse_healing(report.stack, due, e.message)
            return
        self._pauses.record(due, time.monotonic())
        if result.exit_code:
            self._refuse_healing(report.stack, due, result.said)
            return
        self._observe(healed={**self.seen.healed, report.stack: self.seen.healed.get(report.stack, 0) + len(due)})
        names = ", ".join(map(str, due))
        self._runtime.note(f"{self._runtime.timestamp} {report.stack}: put back {names} (run {holder.run})")

    def _refuse_healing(self, stack: str, addresses: Sequence[Address], reason: str) -> None:
        self._pauses.record(addresses, time.monotonic())
        self._observe(refused={**self.seen.refused, stack: self.seen.refused.get(stack, 0) + 1})
        self._note_once(f"healing {stack}", f"{stack}: not put back: {reason}")
