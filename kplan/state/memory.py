"""State that one process keeps for itself and forgets: that of a rehearsal, which nobody else reads."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from kplan.diagnostics import KplanError
from kplan.model import Address, Owned
from kplan.model.history import PastChange, RunSummary
from kplan.model.journal import Entry
from kplan.state.base import Holder, Lock, Overview, Record, ReportKeys, ignore_keys


class MemoryStore:
    """Ledger and journal without a file, for one stack and one process. Nothing is signed, and no history is kept."""

    where = "memory"
    topic = ""

    def __init__(self, ledger: Mapping[Address, Owned] | None = None) -> None:
        self._ledger = dict(ledger or {})
        self._entries: dict[str, list[Entry]] = {}

    def overview(self, report_keys: ReportKeys = ignore_keys) -> Overview:
        return Overview(self.ledger(), {run: self._entries[run][0].stack for run in self.open_runs()})

    def ledger(self) -> Mapping[Address, Owned]:
        return dict(self._ledger)

    def runs(self) -> Sequence[str]:
        return list(self._entries)

    def summaries(self) -> Sequence[RunSummary]:
        return []

    def changes(self, address: Address) -> Mapping[str, Sequence[PastChange]]:
        return {}

    def entries(self, run: str) -> Sequence[Entry]:
        return list(self._entries.get(run, ()))

    def open_runs(self) -> Sequence[str]:
        return [run for run, entries in self._entries.items() if all(entry.event != "end" for entry in entries)]

    def records(self) -> Sequence[Record]:
        return []

    def find_obstacle(self) -> KplanError | None:
        return None

    def holder(self, stack: str) -> Holder | None:
        return None

    def connect_lock(self, stack: str, holder: Holder) -> None:
        """Do nothing: no server has this lock."""

    @contextmanager
    def lock(self, stack: str, holder: Holder, timeout: float) -> Iterator[Lock]:
        """Yield the only lock: no other process knows this store."""
        yield self

    def write(self, entries: Sequence[Entry] = (), ledger: Mapping[Address, Owned | None] | None = None) -> None:
        """Keep the entries, and the ledger's records; None removes one."""
        for entry in entries:
            self._entries.setdefault(entry.run, []).append(entry)
        for address, owned in (ledger or {}).items():
            if owned is None:
                self._ledger.pop(address, None)
            else:
                self._ledger[address] = owned

    def rewrite(self, records: Sequence[Record]) -> None:
        """Do nothing: there are no stored records."""

    def close(self) -> None:
        """Do nothing: there is no file."""
