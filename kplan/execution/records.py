"""Write the records of a run: its journal, and the ledger's records of what it claims, owns and gives back."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import field
from datetime import datetime
from typing import Any

from kplan.diagnostics import JournalBroken
from kplan.kinds.codec import change_to_json
from kplan.kinds.connector.sensitivity import find_remembered_settings, without_values
from kplan.model import Action, Address, Owned
from kplan.model.journal import Entry, Item
from kplan.planning.document import Plan
from kplan.planning.order import Step
from kplan.state.base import Holder, Lock
from kplan.values import dataclass

FINAL_EVENTS = ("end", "kept")  # entries of the journal about a run as a whole
ANNOUNCE_ATTEMPTS = 3  # for each wave; one of them must be written in time
TIME_FORMAT = "%Y-%m-%dT%H:%M:%SZ"


@dataclass(slots=True)
class RunRecords:
    """Write the journal of one run. `seq` is the number of its next entry.

    `count_retries` returns how many requests were sent again, `session` is how many seconds a process may be stopped
    for without losing the lock, and `owners` are the ledger's records as an apply found them: a plan may be older.
    """

    plan: Plan
    holder: Holder
    count_retries: Callable[[], int]
    session: float
    now: Callable[[], datetime]
    clock: Callable[[], float]
    seq: int = 0
    owners: Mapping[Address, Owned | None] = field(default_factory=dict)

    # -- the journal ----------------------------------------------------------------------------------------------
    def announce(
        self, lock: Lock, event: str, steps: Sequence[Step], captured: Mapping[Address, Mapping[str, Any]] | None = None
    ) -> None:
        """Write that `steps` are sent next, and do so just before they are. Raises JournalBroken.

        A process that was stopped meanwhile may have lost the lock without knowing it: only a write is refused then.
        """
        for _ in range(ANNOUNCE_ATTEMPTS):
            start = self.clock()
            self.write(lock, event, steps, captured=captured)
            if self.clock() - start < self.session / 2:
                return
        raise JournalBroken(
            f"{ANNOUNCE_ATTEMPTS} writes took longer than half of `timeouts: session`, so nothing is sent",
            help="see whether the brokers, or this machine, are too busy",
        )

    def write(
        self,
        lock: Lock,
        event: str,
        steps: Sequence[Step] = (),
        *,
        about: Mapping[str, Any] | None = None,
        captured: Mapping[Address, Mapping[str, Any]] | None = None,
        outcomes: Mapping[int, str] | None = None,
        ledger: Mapping[Address, Owned | None] | None = None,
    ) -> None:
        """Write one entry about the steps of a wave, and with it the ledger's records. Raises JournalBroken."""
        is_first = event == "begin"
        if event in FINAL_EVENTS:
            about = {"retries": self.count_retries(), **(about or {})}
        items = tuple(
            Item(
                step.number,
                str(step.change.address),
                change_to_json(step.change, step.number, step.wave) if is_first else None,
                without_values((captured or {}).get(step.change.address), step.change),
                (outcomes or {}).get(step.number, ""),
            )
            for step in steps
        )
        wave = steps[0].wave if steps else 0
        entry = Entry(
            self.holder.run,
            self.plan.stack,
            self.seq,
            event,
            self.now().strftime(TIME_FORMAT),
            wave,
            items,
            about or {},
        )
        lock.write([entry], ledger)
        self.seq += 1

    # -- the ledger -----------------------------------------------------------------------------------------------
    def list_previous_owners(self) -> dict[Address, Owned | None]:
        """Return the ledger's records of all that this run claimed or moves, as they were before it."""
        claims = [step.change for step in self.plan.steps if step.change.after is not None]
        sources = {
            change.source: self.owners.get(change.source, change.owner)
            for change in claims
            if change.source and change.owner
        }
        return sources | {
            change.address: self.owners.get(change.address, None if change.source else change.owner)
            for change in claims
        }

    def make_owners(
        self, steps: Sequence[Step], adopted: Collection[int], *, partial: bool = False, already_done: bool = False
    ) -> dict[Address, Owned | None]:
        """Return the ledger's records of the steps' resources from now on; `already_done`: others had made them as
        planned.

        What was `adopted` during the run (numbers of steps) is not kplan's to delete, even if kplan had created it
        before it vanished. With `partial` a deleted resource keeps its record.
        """
        records: dict[Address, Owned | None] = {}
        time = self.now().strftime(TIME_FORMAT)
        for step in steps:
            change = step.change
            if change.action is Action.MOVE and change.source is not None:
                records[change.source] = None
            if change.after is None:
                if not partial:
                    records[change.address] = None
                continue
            protect = change.after.rules.protect
            if protect is None:
                protect = bool(change.owner and change.owner.protect)
            created = change.created or change.action in (Action.CREATE, Action.REPLACE)
            if already_done:
                created = bool(change.owner and change.owner.created)
            if step.number in adopted:
                created = False
            records[change.address] = Owned(
                change.address,
                self.plan.stack,
                self.plan.env,
                created,
                protect,
                change.after,
                self.holder.run,
                time,
                find_remembered_settings(change),
            )
        return records
